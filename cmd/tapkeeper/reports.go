package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/terminal"
	"tapkeeper/till"
)

func newRecon(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "recon [DATE]", Short: "Compare a business day with the wallet (default: today)",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client := till.NewClient(s.socket)
			status, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			day := status.Day
			if len(args) == 1 {
				day = args[0]
			}
			all, err := client.Reconcile(c.Context(), day)
			if err != nil {
				return err
			}
			if s.json {
				err = printJSON(c.OutOrStdout(), all)
			} else {
				err = printReconciliations(c.OutOrStdout(), all)
			}
			for _, r := range all {
				if err == nil && (!r.Match || r.Waiting > 0) {
					err = &failure{exitUnexpected, fmt.Errorf("the books of %s differ or are not complete", day), "tapkeeper queue shows what still waits; run recon again after it"}
				}
			}
			return err
		},
	}
}

func printReconciliations(w io.Writer, all []terminal.Reconciliation) error {
	for _, r := range all {
		verdict := "MATCH"
		if !r.Match {
			verdict = "DIFFERS"
		}
		fmt.Fprintf(w, "business day %s  %s  %s\n", r.Day, r.Currency, verdict)
		err := table(w,
			[]any{"", "payments", "sum", "hash", "refunds", "sum", "hash", "messages"},
			bookRow("  here", r.Here, r.Currency), bookRow("  wallet", r.There, r.Currency))
		if err != nil {
			return err
		}
		if r.Waiting > 0 {
			fmt.Fprintf(w, "  %d payments and refunds still wait for the wallet's receipt\n", r.Waiting)
		}
		for _, d := range r.Differences {
			what := "payment " + d.Payment.String()
			if d.Refund != nil {
				what = "refund " + d.Refund.String()
			}
			fmt.Fprintf(w, "  %s %s: %s: %s\n", what, d.Class, d.Action, d.Why)
		}
	}
	return nil
}

// bookRow is one side of a day: what it has of payments and refunds, and between
// which numbers their messages are.
func bookRow(name string, s terminal.Side, currency string) []any {
	return []any{
		name, s.Count, formatMoney(s.SumMinor, currency), s.Hash.String()[:16],
		s.Refunds.Count, formatMoney(s.Refunds.SumMinor, currency), s.Refunds.Hash.String()[:16],
		fmt.Sprintf("%d-%d", s.First, s.Last),
	}
}

func newStatus(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "The lane at a glance; exit status 69 when a part is missing",
		RunE: func(c *cobra.Command, _ []string) error {
			status, err := till.NewClient(s.socket).Status(c.Context())
			if err != nil {
				return err
			}
			if s.json {
				err = printJSON(c.OutOrStdout(), status)
			} else {
				err = printStatus(c.OutOrStdout(), status)
			}
			if err != nil {
				return err
			}
			return troubleOf(status)
		},
	}
}

func printStatus(w io.Writer, s till.Status) error {
	word := func(ok bool, yes, no string) string {
		if ok {
			return yes
		}
		return no
	}
	return table(w,
		[]any{"terminal", s.Merchant + "/" + s.Terminal + ", business day " + s.Day},
		[]any{"daemon", s.Version + ", up " + time.Since(s.Since).Round(time.Second).String()},
		[]any{"reader", word(s.Reader.Ready, "ready", s.Reader.Trouble) + " (" + s.Reader.Name + ")"},
		[]any{"wallet", word(s.Wallet.Connected, "connected", word(s.Wallet.Up, "link up, wallet not heard", s.Wallet.Trouble)) + " (" + s.Wallet.Broker + ")"},
		[]any{"clock", word(s.Clock.Trusted, "trusted: ", "not trusted: ") + s.Clock.Why},
		[]any{"disk", diskWords(s.Disk)},
		[]any{"hotlist", "revoked " + listWords(s.Hotlist.Revocations) + "; blocked " + listWords(s.Hotlist.Exceptions)},
		[]any{"orders", orderWords(s.Hotlist)},
		[]any{"outbox", fmt.Sprintf("%d waiting, %d parked", s.Waiting, s.Parked)},
		[]any{"offline", fmt.Sprintf("%d of %d payments, %s of %s", s.Exposure.Payments, s.Exposure.MaxPayments,
			formatMoney(s.Exposure.SumMinor, s.Exposure.Currency), formatMoney(s.Exposure.MaxSumMinor, s.Exposure.Currency))},
	)
}

func listWords(l till.ListStatus) string {
	return fmt.Sprintf("version %d of %d days, %d entries", l.Version, l.AgeDays, l.Entries)
}

// orderWords are what the wallet sent unasked and was not taken.
func orderWords(h till.HotlistStatus) string {
	if len(h.OrdersRefused) == 0 {
		return "none refused"
	}
	var words []string
	for _, fault := range slices.Sorted(maps.Keys(h.OrdersRefused)) {
		words = append(words, fmt.Sprintf("%d %s", h.OrdersRefused[fault], fault))
	}
	return "not taken: " + strings.Join(words, ", ") + " (last: " + h.LastRefused + ")"
}

// diskWords are the room of the journal in MiB.
func diskWords(d till.DiskStatus) string {
	if d.Trouble != "" {
		return d.Trouble
	}
	text := fmt.Sprintf("%d MiB free, %d needed", d.Free>>20, d.Need>>20)
	if d.Full {
		return "FULL, no new payments: " + text
	}
	return text
}

// troubleOf is the first thing that a person should look at.
func troubleOf(s till.Status) error {
	switch {
	case s.Disk.Full:
		return &failure{exitUnavailable, errors.New("disk: " + diskWords(s.Disk)), "free disk space where data_dir is: payments are refused until then, and nothing was lost"}
	case !s.Reader.Ready:
		return &failure{exitUnavailable, fmt.Errorf("reader: %s", s.Reader.Trouble), "plug the reader in, check that pcscd runs: systemctl status pcscd.socket"}
	case !s.Wallet.Up:
		return &failure{exitUnavailable, fmt.Errorf("wallet: %s", s.Wallet.Trouble), "taps are accepted within the offline limits meanwhile; check the network and wallet.broker"}
	case !s.Wallet.Connected:
		return &failure{exitUnavailable, errors.New("wallet: the broker is connected, the wallet was not heard"), "taps are accepted within the offline limits meanwhile; ask the wallet's operator"}
	case !s.Clock.Trusted:
		return &failure{exitUnavailable, fmt.Errorf("clock: %s", s.Clock.Why), "start time synchronisation: timedatectl set-ntp true"}
	}
	return nil
}
