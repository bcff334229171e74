package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tapkeeper/till"
)

func newQueue(s *shared) *cobra.Command {
	list := newQueueList(s)
	c := &cobra.Command{
		Use: "queue", Short: "List what the wallet has not confirmed yet",
		Long: `List the outbox, and look after the journal that it is part of.

A message is queued, then sent, until the wallet's own receipt takes it out. parked: the
wallet has refused it for good. held: a person keeps it back.`,
		Args: positional(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return list.RunE(c, nil) },
	}
	c.AddCommand(list, newQueueHold(s), newQueueRelease(s), newQueueSync(s), newQueueVerify(s), newQueueExport(s), newQueueImport(s),
		newQueueImportKey(s), newQueueRotate(s), newQueueSeal(), newQueueRebind(s))
	return c
}

func newQueueList(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "list [PAYMENT]", Short: "List what the wallet has not confirmed yet, of all payments or of one",
		Args: positional(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			payment := ""
			if len(args) == 1 {
				payment = args[0]
			}
			client := till.NewClient(s.socket)
			q, err := client.Queue(c.Context(), payment)
			if err != nil {
				return err
			}
			if payment != "" && len(q.Waiting)+len(q.Parked) == 0 {
				return printSettled(c, client, s, payment)
			}
			if s.json {
				return printJSON(c.OutOrStdout(), q)
			}
			return printQueue(c.OutOrStdout(), q)
		},
	}
}

// printSettled tells what became of a payment that has nothing in the outbox.
func printSettled(c *cobra.Command, client *till.Client, s *shared, payment string) error {
	p, err := client.Get(c.Context(), payment, 0, 0)
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(c.OutOrStdout(), map[string]string{"payment_id": p.ID, "state": p.State, "settlement": p.Settlement})
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "nothing waits: payment %s is %s, settlement %s\n", p.ID, p.State, p.Settlement)
	return err
}

func printQueue(w io.Writer, q till.Queue) error {
	fmt.Fprintf(w, "%d waiting, %d parked\n", q.Total, len(q.Parked))
	var rows [][]any
	for _, e := range append(q.Waiting, q.Parked...) {
		rows = append(rows, []any{e.State, e.Sequence, e.Kind, e.Payment, e.Reason})
	}
	return table(w, rows...)
}

func newQueueHold(s *shared) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "hold ID", Short: "Keep a message back, and what follows it for the same payment",
		Long: `Keep a message back until it is released. ID is the message's, or the payment's. The
messages that follow it for the same payment wait as well; other payments go on.

One that was sent already may have arrived: the wallet's receipt is taken all the same.`,
		Example: "  tapkeeper queue hold 0198f2a0-7c11-7abc-8def-0123456789ab --reason 'the customer is back'",
		Args:    positional(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := till.NewClient(s.socket).Hold(c.Context(), args[0], reason); err != nil {
				return err
			}
			return done(c, s, args[0]+" is held; let it go with: tapkeeper queue release "+args[0])
		},
	}
	c.Flags().StringVar(&reason, "reason", "held by hand", "why, for who finds it later")
	return c
}

func newQueueRelease(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "release ID", Short: "Let a parked or held message go out again",
		Long: `Let a message go out again that a person has held back, or that the wallet has refused,
once somebody has found out why. ID is the message's; of a held one also the payment's.

A refused message goes under a new id, because the wallet keeps its answer to the old one for
ever. An advice whose order was paid anew since is not released: it could take the money twice.`,
		Example: "  tapkeeper queue --json\n  tapkeeper queue release 0198f2a0-7c11-7abc-8def-0123456789ab",
		Args:    positional(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := till.NewClient(s.socket).Release(c.Context(), args[0]); err != nil {
				return err
			}
			return done(c, s, "message "+args[0]+" waits again")
		},
	}
}

// done says that something was done, or nothing but braces as JSON.
func done(c *cobra.Command, s *shared, text string) error {
	if s.json {
		return printJSON(c.OutOrStdout(), struct{}{})
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), text)
	return err
}

// positional makes a wrong number of words the caller's own error.
func positional(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usage(err)
		}
		return nil
	}
}
