package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"tapkeeper/lane"
	"tapkeeper/till"
)

func newQueueVerify(s *shared) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "verify", Short: "Walk the whole journal, and name the first record that does not fit",
		Long: `Walk the chain of every event and everything stored, compare each value with what the
chain says it must be, and name the first record that does not fit, with the commit
that wrote it and why.

A daemon that runs does it beside its work. Where none runs, the journal in data_dir is
read with the key in keys.journal_master: a copy of it is, so that nothing is changed.

Exit status 0: everything fits. 1: something does not.`,
		Example: "  tapkeeper queue verify\n  tapkeeper queue verify --config /etc/tapkeeper/tapkeeper.toml",
		Args:    positional(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var v verification
			err := askQueue(c.Context(), s.socket, &v, "verify")
			if errors.Is(err, till.ErrNoDaemon) {
				v, err = verifyStopped(config)
			}
			if err != nil {
				return err
			}
			if s.json {
				err = printJSON(c.OutOrStdout(), v)
			} else {
				err = printJournal(c.OutOrStdout(), v)
			}
			if err == nil && !v.OK {
				err = &failure{exitUnexpected, errors.New("the journal does not fit together"), "copy data_dir before anything else; docs/durability.md says what each finding means"}
			}
			return err
		},
	}
	c.Flags().StringVar(&config, "config", "/etc/tapkeeper/tapkeeper.toml", "the configuration of a daemon that does not run")
	return c
}

func verifyStopped(path string) (verification, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return verification{}, err
	}
	return verified(lane.Inspect(cfg.Config))
}

func printJournal(w io.Writer, v verification) error {
	if v.Damage != "" {
		_, err := fmt.Fprintln(w, v.Damage)
		return err
	}
	for _, text := range v.Healed {
		fmt.Fprintln(w, "healed: "+text)
	}
	_, err := fmt.Fprintf(w, "%d events, %d records, %d counters, %d messages waiting, %d set aside: all fit\nhead %d %s\n",
		v.Sequence, v.Records, v.Counters, v.Waiting, v.Aside, v.Sequence, v.Hash)
	return err
}

func newQueueRelease(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "release MESSAGE", Short: "Let a parked message go out again",
		Long: `Let a message that the wallet has refused go out again, once a person has found out why.
It is sent as it was, byte for byte, and the wallet's next receipt counts.

An advice whose order was paid anew since is not released: it could take the money twice.`,
		Example: "  tapkeeper queue --json\n  tapkeeper queue release 0198f2a0-7c11-7abc-8def-0123456789ab",
		Args:    positional(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := askQueue(c.Context(), s.socket, &struct{}{}, url.PathEscape(args[0]), "release"); err != nil {
				return err
			}
			if s.json {
				return printJSON(c.OutOrStdout(), struct{}{})
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "message "+args[0]+" waits again")
			return err
		},
	}
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
