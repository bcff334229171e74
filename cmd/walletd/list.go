package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

func newAccounts(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "accounts", Short: "List the accounts",
		RunE: func(c *cobra.Command, _ []string) error {
			return withLedger(c.Context(), s, func(l *ledger.Ledger) error {
				list, err := l.Accounts(c.Context())
				if err != nil {
					return err
				}
				if s.json {
					return printJSON(c.OutOrStdout(), list)
				}
				rows := [][]string{{"ACCOUNT", "KIND", "BALANCE", "STATUS"}}
				for _, a := range list {
					status := "active"
					if a.Blocked {
						status = "blocked"
					}
					rows = append(rows, []string{a.ID, string(a.Kind), money(a.BalanceMinor, a.Currency), status})
				}
				return table(c.OutOrStdout(), rows)
			})
		},
	}
}

// paymentView is a payment as it is printed.
type paymentView struct {
	ID            wire.ID      `json:"payment_id"`
	Merchant      string       `json:"merchant"`
	Terminal      string       `json:"terminal"`
	OrderRef      string       `json:"order_ref"`
	Account       string       `json:"account"`
	AmountMinor   int64        `json:"amount_minor"`
	RefundedMinor int64        `json:"refunded_minor"`
	Currency      string       `json:"currency"`
	BusinessDay   string       `json:"business_day"`
	State         ledger.State `json:"state"`
	Reason        wire.Reason  `json:"reason"`
	WalletRef     string       `json:"wallet_ref"`
}

func newPayments(s *shared) *cobra.Command {
	var merchant, terminal, day string
	c := &cobra.Command{
		Use: "payments", Short: "List the payments",
		RunE: func(c *cobra.Command, _ []string) error {
			return withLedger(c.Context(), s, func(l *ledger.Ledger) error {
				list, err := l.Payments(c.Context(), merchant, terminal, day)
				if err != nil {
					return err
				}
				views := make([]paymentView, 0, len(list))
				for _, p := range list {
					views = append(views, paymentView{p.ID, p.Merchant, p.Terminal, p.OrderRef, p.Account, p.AmountMinor,
						p.RefundedMinor, p.Currency, p.BusinessDay, p.State, wire.Reason(p.Reason), p.WalletRef})
				}
				return printPayments(c.OutOrStdout(), views, s.json)
			})
		},
	}
	c.Flags().StringVar(&merchant, "merchant", "", "only this merchant's")
	c.Flags().StringVar(&terminal, "terminal", "", "only this terminal's")
	c.Flags().StringVar(&day, "day", "", "only of this business day, YYYY-MM-DD")
	return c
}

func printPayments(w io.Writer, views []paymentView, asJSON bool) error {
	if asJSON {
		return printJSON(w, views)
	}
	rows := [][]string{{"PAYMENT", "TERMINAL", "ORDER", "ACCOUNT", "AMOUNT", "REFUNDED", "DAY", "STATE", "REASON", "REFERENCE"}}
	for _, v := range views {
		rows = append(rows, []string{v.ID.String(), v.Merchant + "/" + v.Terminal, v.OrderRef, v.Account, money(v.AmountMinor, v.Currency),
			money(v.RefundedMinor, v.Currency), v.BusinessDay, string(v.State), v.Reason.String(), v.WalletRef})
	}
	return table(w, rows)
}

func newCheck(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Test whether the books add up",
		RunE: func(c *cobra.Command, _ []string) error {
			return withLedger(c.Context(), s, func(l *ledger.Ledger) error { return sound(c.Context(), c.OutOrStdout(), l) })
		},
	}
}

func sound(ctx context.Context, w io.Writer, l *ledger.Ledger) error {
	findings, err := l.Check(ctx)
	if err != nil {
		return err
	}
	if len(findings) == 0 {
		_, err := fmt.Fprintln(w, "the books add up")
		return err
	}
	for _, f := range findings {
		fmt.Fprintln(w, f)
	}
	return &failure{exitUnexpected, errors.New("the books do not add up"), "stop walletd, keep a copy of the folder, and look at each line above"}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

func money(minor int64, currency string) string {
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, minor/100, minor%100, currency)
}
