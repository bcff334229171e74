// Command walletd is the reference wallet as a process: it issues demonstration
// cards, keeps the ledger, and answers terminals over an MQTT broker.
//
// It promises that a message is acknowledged to the broker only after its
// answer was published, and that any number of workers and of walletd processes
// on one ledger give one answer to one message. It is not for live money: its
// keys lie in a file.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for its exit, so that a test can be its user.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return explain(stderr, root.ExecuteContext(ctx))
}

// shared are the flags that every verb has.
type shared struct {
	dir    string
	ledger string
	json   bool
}

func newRoot() *cobra.Command {
	s := &shared{}
	root := &cobra.Command{
		Use:   "walletd",
		Short: "The reference wallet: cards, ledger, and answers to terminals",
		Long: `walletd is a wallet's backend for tests and demonstrations.

  walletd init --dir DIR --terminal-key terminal.pem   keys, ledger, accounts, phones
  walletd serve --dir DIR --broker mqtt://127.0.0.1:1883
  walletd accounts --dir DIR                           who has how much
  walletd payments --dir DIR --day 2026-11-24          what was taken, and what not
  walletd check --dir DIR                              whether the books add up
  walletd app sync --dir DIR --phone FILE              a phone's log, and its next allowance
  walletd proof list --dir DIR                         devices that spent twice

Several processes share the work: serve --share NAME, and --ledger postgres://… for all verbs.`,
		Version: version, SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.PersistentFlags().StringVar(&s.dir, "dir", "/var/lib/walletd", "the wallet's folder")
	root.PersistentFlags().StringVar(&s.ledger, "ledger", "", "postgres://USER@HOST/DATABASE, or $"+ledgerVar+" (default: a file in the folder)")
	root.PersistentFlags().BoolVar(&s.json, "json", false, "print JSON")
	root.AddCommand(newInit(s), newEnrol(s), newServe(s), newAccounts(s), newPayments(s), newCheck(s), newConformKit(s), newApp(s), newProof(s))
	for _, c := range append(root.Commands(), root) {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := cobra.NoArgs(c, args); err != nil {
				return usage(err)
			}
			return nil
		}
	}
	return root
}
