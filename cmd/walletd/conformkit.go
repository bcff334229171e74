package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

func newConformKit(s *shared) *cobra.Command {
	var out, currency string
	c := &cobra.Command{
		Use: "conform-kit --out DIR", Short: "Prepare this wallet for tapkeeper wallet conform",
		Long: `Enrol three test terminals, open six test accounts with a card each, and write what
the conformance suite needs of them into a new folder. The folder holds private keys.`,
		Example: "  walletd conform-kit --dir /var/lib/walletd --out kit\n  tapkeeper wallet conform --broker mqtt://127.0.0.1:1883 --kit kit",
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return usage(fmt.Errorf("--out is needed"))
			}
			keys, err := loadKeys(s.dir)
			if err != nil {
				return err
			}
			err = withLedger(c.Context(), s, func(l *ledger.Ledger) error {
				return backend.WriteTestKit(c.Context(), l, keys, out, currency, time.Now())
			})
			if err != nil {
				return &failure{exitConfig, err, "name a new folder with --out"}
			}
			fmt.Fprintf(c.OutOrStdout(), "kit written to %s; its accounts hold play money of this wallet\n", out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "the new folder")
	c.Flags().StringVar(&currency, "currency", "CNY", "ISO 4217 code of the kit's accounts")
	return c
}
