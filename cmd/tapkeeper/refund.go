package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/terminal"
	"tapkeeper/till"
)

// refundWait is how long the verb waits for the wallet's word; the refund goes on
// without it.
const refundWait = 10 * time.Second

// tapWait is the longest that a phone is waited for beside it (bounds.tap_s, 90 by default).
const tapWait = 95 * time.Second

func newRefund(s *shared) *cobra.Command {
	r := till.RefundRequest{}
	c := &cobra.Command{
		Use: "refund ID [AMOUNT]", Short: "Give money of a payment back: all that is left, or a part",
		Long: `Give money of a payment back, and wait a moment for the wallet's word. A payment
that has not left yet is reversed as a whole instead: nothing is taken.

The same command again is the same refund, so that a lost answer costs nothing;
a second refund of the same amount needs a --key of its own. The exit status is 0
when the money goes back, now or once the wallet is reached, and 1 when it is refused.`,
		Example: "  tapkeeper refund 0193…            all that is left\n  tapkeeper refund 0193… 4.50       a part",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) (err error) {
			r.Payment = args[0]
			if len(args) == 2 {
				if r.AmountMinor, err = parseMoney(args[1]); err != nil {
					return usage(err)
				}
			}
			if r.Key == "" {
				r.Key = fmt.Sprintf("refund %s %d", r.Payment, r.AmountMinor)
				if r.Tap {
					r.Key += " tap"
				}
			}
			wait := refundWait
			if r.Tap {
				wait += tapWait
			}
			back, err := till.NewClient(s.socket).Refund(c.Context(), r, wait)
			if err != nil {
				return err
			}
			if s.json {
				err = printJSON(c.OutOrStdout(), back)
			} else {
				err = printRefund(c.OutOrStdout(), back)
			}
			if err == nil && back.State == string(terminal.RefundRefused) {
				return errRefused
			}
			return err
		},
	}
	c.Flags().StringVar(&r.Key, "key", "", "idempotency key; without it, payment and amount name the refund")
	c.Flags().BoolVar(&r.Tap, "tap", false, "the phone that has paid must be held to the reader")
	c.Flags().BoolVar(&r.Manager, "manager", false, "a manager approves it: root, the daemon's user, the group tapkeeper-manager")
	return c
}

var errRefused = &failure{exitUnexpected, fmt.Errorf("the wallet refused the refund"), "tapkeeper show ID tells why"}

var refundWords = map[string]till.Words{
	string(terminal.RefundAwaitingTap): {ZH: "请将付款的手机靠近", EN: "Hold the phone that has paid near the reader"},
	string(terminal.RefundQueued):      {ZH: "退款已受理,等待钱包确认", EN: "Accepted; the wallet has not confirmed it yet"},
	string(terminal.RefundSent):        {ZH: "退款已发送,等待钱包确认", EN: "Sent; the wallet has not confirmed it yet"},
	string(terminal.RefundDone):        {ZH: "已退款", EN: "Refunded"},
	string(terminal.RefundRefused):     {ZH: "退款被拒", EN: "Refused by the wallet"},
}

func printRefund(w io.Writer, r till.Refund) error {
	fmt.Fprintf(w, "refund %s  %s  asked for at %s\n  %s\n", r.ID, formatMoney(r.AmountMinor, r.Currency), r.CreatedAt.Format(time.DateTime), refundWords[r.State])
	if r.Reversal {
		fmt.Fprintln(w, "  the payment had not left: it is reversed, nothing is taken")
	}
	if r.Reason != nil {
		fmt.Fprintf(w, "  reason %s (%s): %s\n", r.Reason.ID, r.Reason.Side, r.Reason.Words())
	}
	return nil
}
