package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tapkeeper/lane"
)

// configFlag names the configuration of a daemon that does not run.
func configFlag(c *cobra.Command, path *string) *cobra.Command {
	c.Flags().StringVar(path, "config", "/etc/tapkeeper/tapkeeper.toml", "the configuration of a daemon that does not run")
	return c
}

func newQueueImportKey(s *shared) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "import-key", Short: "On a new machine: make the key that one journal can be exported to",
		Long: `Make a key for one import, and print its public half: give that to tapkeeper queue export on
the machine that has the journal. Asked again before it is used, it prints the same.

Until the journal has arrived no daemon starts here: it would begin a journal of its own.`,
		Args: positional(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			recipient, err := lane.ImportKey(cfg.Config)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(c.OutOrStdout(), map[string]string{"recipient": recipient})
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), recipient)
			return err
		},
	}
	return configFlag(c, &config)
}

func newQueueExport(s *shared) *cobra.Command {
	var config, to string
	c := &cobra.Command{
		Use: "export FILE --to RECIPIENT", Short: "Hand the whole journal to another machine, for good",
		Long: `Write the whole journal, with its outbox and counters, into a file that only the recipient
opens, signed by this terminal. The daemon must be stopped.

The journal is closed here for good before the file is written: its last event says so, and no
daemon opens it any more. A file that was lost can be written again, for the same recipient
only. What it holds can still be verified: tapkeeper queue verify.`,
		Example: "  tapkeeper queue export /media/stick/journal.archive --to tapkeeper-import-…",
		Args:    positional(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if to == "" {
				return usage(fmt.Errorf("--to names the recipient: tapkeeper queue import-key prints it on the other machine"))
			}
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			m, err := lane.Export(c.Context(), cfg.Config, args[0], to)
			return moved(c, s, m, err, "handed over in "+args[0])
		},
	}
	c.Flags().StringVar(&to, "to", "", "the recipient that import-key printed on the other machine")
	return configFlag(c, &config)
}

func newQueueImport(s *shared) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "import FILE", Short: "On a new machine: take over the journal of another one, once",
		Long: `Take the journal out of a file that was exported to this machine's import key. Signature,
seal, the whole chain and every value are verified before it counts; a file that does not fit
changes nothing. The terminal's signing key must be here already.`,
		Example: "  tapkeeper queue import /media/stick/journal.archive",
		Args:    positional(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			m, err := lane.Import(c.Context(), cfg.Config, args[0])
			return moved(c, s, m, err, "taken over from "+args[0])
		},
	}
	return configFlag(c, &config)
}

func moved(c *cobra.Command, s *shared, m lane.Moved, err error, what string) error {
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(c.OutOrStdout(), m)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d events, %d records, %d messages waiting, %d set aside\narchive %s, head %d %s\n",
		what, m.Sequence, m.Records, m.Waiting, m.Aside, m.Archive, m.Sequence, m.Hash)
	return err
}
