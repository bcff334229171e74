package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/terminal"
	"tapkeeper/till"
)

const (
	// cancelWait bounds the cancel after an interrupt.
	cancelWait = 5 * time.Second
	// minExpires and maxExpires are what the till's API takes.
	minExpires, maxExpires = 5 * time.Second, 5 * time.Minute
)

func newPay(s *shared) *cobra.Command {
	var r till.OpenRequest
	var expires time.Duration
	c := &cobra.Command{
		Use: "pay AMOUNT --order REF", Short: "Take a payment, and follow it to its outcome",
		Long: `Open a payment and tell every change until its outcome. Ctrl-C cancels it while
no phone has been asked to pay.

The exit status is 0 when it is approved or stored, 1 when it is not; the same
order is never paid twice: run it again when an answer was lost.`,
		Example: "  tapkeeper pay 12.50 --order 1001",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if r.AmountMinor, err = parseMoney(args[0]); err != nil {
				return usage(err)
			}
			if r.OrderRef == "" {
				return usage(errors.New("--order REF: the till's own reference of this order is missing"))
			}
			if expires < minExpires || expires > maxExpires || expires%time.Second != 0 {
				return usage(fmt.Errorf("--expires %s: want whole seconds from %s to %s", expires, minExpires, maxExpires))
			}
			r.ExpiresIn = int(expires / time.Second)
			return pay(c.Context(), c.OutOrStdout(), till.NewClient(s.socket), r, s.json)
		},
	}
	c.Flags().StringVar(&r.OrderRef, "order", "", "the till's reference of the order; the same order is never paid twice")
	c.Flags().StringVar(&r.Key, "key", "", "idempotency key; without it the order names the payment")
	c.Flags().StringVar(&r.Currency, "currency", "CNY", "ISO 4217 code")
	c.Flags().StringVar(&r.Offline, "offline", "allow", "allow or never: may it be accepted without the wallet")
	c.Flags().DurationVar(&expires, "expires", 90*time.Second, "how long to wait for a tap")
	return c
}

// pay opens a payment and follows it. An interrupt cancels it if it still can be.
func pay(ctx context.Context, w io.Writer, client *till.Client, r till.OpenRequest, asJSON bool) error {
	// An interrupt while the payment is being opened must not leave it open.
	opening, stop := grace(ctx, cancelWait)
	defer stop()
	p, err := client.Open(opening, r)
	if err != nil {
		return err
	}
	if !asJSON {
		fmt.Fprintf(w, "payment %s  %s  order %s\n", p.ID, formatMoney(p.AmountMinor, p.Currency), p.OrderRef)
	}
	p, err = followPayment(ctx, client, p, func(p till.Payment) {
		if !asJSON {
			fmt.Fprintf(w, "  %s\n", p.Words())
		}
	})
	if ctx.Err() != nil {
		stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelWait)
		defer stop()
		cancelled, cancelErr := client.Cancel(stopping, p.ID)
		if cancelErr != nil {
			return &failure{exitTryAgain, fmt.Errorf("interrupted; payment %s is not cancelled: %w", p.ID, cancelErr), "ask for it: tapkeeper show " + p.ID}
		}
		p, err = cancelled, nil
	}
	if err != nil {
		return &failure{exitTryAgain, fmt.Errorf("lost sight of payment %s: %w", p.ID, err), "it is kept; ask for it: tapkeeper show " + p.ID}
	}
	if asJSON {
		err = printJSON(w, p)
	} else {
		err = printOutcome(w, p)
	}
	state := terminal.State(p.State)
	if err == nil && (p.End == string(terminal.NotPaid) || state != terminal.Approved && state != terminal.Stored) {
		return errNotApproved
	}
	return err
}

// grace is a context that outlives another by a while.
func grace(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() { time.AfterFunc(while, cancel) })
	return longer, func() { detach(); cancel() }
}

// outcomeWait is above the moment that a stored payment gets to be approved.
const outcomeWait = 5 * time.Second

// followPayment tells every change until the outcome.
func followPayment(ctx context.Context, client *till.Client, p till.Payment, tell func(till.Payment)) (till.Payment, error) {
	last := till.Words{}
	say := func() {
		if words := p.Words(); words != last && !p.Final() {
			last = words
			tell(p)
		}
	}
	for say(); !p.Final(); say() {
		next, err := client.Get(ctx, p.ID, p.Revision, time.Second)
		if err != nil {
			return p, err
		}
		p = next
	}
	return client.Outcome(ctx, p.ID, outcomeWait)
}

func printOutcome(w io.Writer, p till.Payment) error {
	fmt.Fprintf(w, "%s\n", p.Words())
	if p.Reason != nil {
		fmt.Fprintf(w, "  reason %s (%s): %s\n", p.Reason.ID, p.Reason.Side, p.Reason.Words())
		fmt.Fprintf(w, "  try again: %s\n", p.Reason.Retry)
	}
	if p.WalletRef != "" {
		fmt.Fprintf(w, "  wallet reference %s\n", p.WalletRef)
	}
	_, err := fmt.Fprintf(w, "  state %s, settlement %s%s\n", p.State, p.Settlement, ending(p))
	return err
}

func ending(p till.Payment) string {
	if p.End == "" {
		return ""
	}
	return ", " + p.End
}
