package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/terminal"
	"tapkeeper/till"
)

func newShow(s *shared) *cobra.Command {
	var order, day string
	var trace bool
	c := &cobra.Command{
		Use: "show [ID]", Short: "Show a payment, an order or a day",
		Example: "  tapkeeper show 0193… --trace\n  tapkeeper show --order 1001\n  tapkeeper show --day 2026-11-24",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, w := till.NewClient(s.socket), c.OutOrStdout()
			given := len(args)
			for _, f := range []string{order, day} {
				if f != "" {
					given++
				}
			}
			switch {
			case given != 1:
				return usage(errors.New("show wants an ID, --order REF or --day DATE"))
			case trace && len(args) == 0:
				return usage(errors.New("--trace wants the ID of a payment"))
			case trace:
				exchanges, err := client.Trace(c.Context(), args[0])
				if err != nil {
					return err
				}
				return printTrace(w, exchanges, s.json)
			case len(args) == 1:
				p, err := client.Get(c.Context(), args[0], 0, 0)
				if err != nil {
					return err
				}
				return printPayments(w, []till.Payment{p}, s.json)
			}
			list, err := client.Day(c.Context(), day)
			if order != "" {
				list, err = client.Order(c.Context(), order)
			}
			if err != nil {
				return err
			}
			return printPayments(w, list, s.json)
		},
	}
	c.Flags().StringVar(&order, "order", "", "the payments of an order")
	c.Flags().StringVar(&day, "day", "", "the payments of a business day, YYYY-MM-DD")
	c.Flags().BoolVar(&trace, "trace", false, "the masked dialogue of the tap")
	return c
}

func printPayments(w io.Writer, list []till.Payment, asJSON bool) error {
	if asJSON {
		return printJSON(w, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no payments")
		return err
	}
	for _, p := range list {
		fmt.Fprintf(w, "payment %s  %s  order %s, attempt %d\n", p.ID, formatMoney(p.AmountMinor, p.Currency), p.OrderRef, p.Attempt)
		if err := printOutcome(w, p); err != nil {
			return err
		}
	}
	return nil
}

func printTrace(w io.Writer, exchanges []terminal.Exchange, asJSON bool) error {
	if asJSON {
		return printJSON(w, exchanges)
	}
	for _, x := range exchanges {
		for _, line := range slices.Concat(x.Command, x.Answer) {
			fmt.Fprintln(w, line)
		}
		if x.Trouble != "" {
			fmt.Fprintf(w, "! %s\n", x.Trouble)
		}
		fmt.Fprintf(w, "  %s\n", x.Took.Round(10*time.Microsecond))
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows of words; the columns hold ASCII, so that they stay aligned.
func table(w io.Writer, rows ...[]any) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
