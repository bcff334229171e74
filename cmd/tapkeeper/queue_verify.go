package main

import (
	"errors"
	"fmt"
	"io"

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
			v, err := till.NewClient(s.socket).Verify(c.Context())
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

func verifyStopped(path string) (till.Verification, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return till.Verification{}, err
	}
	return verified(lane.Inspect(cfg.Config))
}

func printJournal(w io.Writer, v till.Verification) error {
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
