package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tapkeeper/lane"
)

func newQueueRebind(s *shared) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "rebind", Short: "Say that this journal is the newest, and let the TPM count it anew",
		Long: `Bind the journal to the counter of this machine's TPM anew. The daemon must be stopped.

The daemon refuses a journal that the TPM has left behind: it is an older copy, or the TPM was
cleared or exchanged. Use this only when no newer journal can be had: what a newer one holds is
lost with it, and the wallet may still refuse this one. The journal keeps that it was done.`,
		Args: positional(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			by := fmt.Sprintf("uid %d", os.Getuid())
			if name := os.Getenv("SUDO_USER"); name != "" { // what sudo says, for whoever reads the journal
				by += " for " + name
			}
			was, err := lane.Rebind(c.Context(), cfg.Config, by)
			if err != nil {
				return err
			}
			said := "nothing was wrong"
			if was != nil {
				said = was.Error()
			}
			if s.json {
				return printJSON(c.OutOrStdout(), map[string]string{"was": said})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "bound to the TPM's counter; before: %s\n", said)
			return err
		},
	}
	return configFlag(c, &config)
}
