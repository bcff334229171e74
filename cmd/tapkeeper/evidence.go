package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"tapkeeper/terminal"
	"tapkeeper/till"
)

func newEvidence(s *shared) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "evidence ID --out FILE", Short: "Export what proves a payment, for a dispute (a manager's act)",
		Long: `Export what proves a payment into a file that tapkeeper verify checks on any
machine. The file holds what is otherwise kept encrypted: it is written for its
owner alone, and the journal keeps who exported it, when, and of which payment.`,
		Example: "  tapkeeper evidence 0193… --out evidence.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usage(errors.New("evidence wants --out FILE"))
			}
			// The file comes first: an export that cannot be kept is not asked for.
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return outProblem(err)
			}
			err = export(c.Context(), till.NewClient(s.socket), args[0], f)
			if err != nil {
				return errors.Join(err, os.Remove(out))
			}
			fmt.Fprintf(c.OutOrStdout(), "%s written; check it with: tapkeeper verify %s --ca DIR --wallet-key PEM --terminal-key PEM\n", out, out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "the file to write; it must not exist")
	return c
}

func outProblem(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return &failure{exitUsage, err, "evidence is never written over; name another file"}
	}
	return &failure{exitUsage, err, "name a file in a folder that you may write to"}
}

// export writes the file and closes it; it returns when it is on the disk.
func export(ctx context.Context, client *till.Client, id string, f *os.File) error {
	raw, err := client.Evidence(ctx, id)
	if err == nil {
		_, err = f.Write(raw)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (o office) Evidence(ctx context.Context, id terminal.ID, by string) ([]byte, error) {
	return o.lane.Evidence(ctx, id, by)
}
