// Command tapkeeper is the daemon between a merchant's till and a phone wallet,
// and the tool that cashiers and technicians speak to it with.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // business days need the store's zone, also on a machine without tzdata

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

// run is the whole program with its exits, so that a test can be its user.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return explain(stderr, err)
}

// shared are the flags that every verb of the tool has.
type shared struct {
	socket string
	json   bool
}

// defaultSocket is where the packaged daemon listens.
const defaultSocket = "/run/tapkeeper/tapkeeper.sock"

func newRoot() *cobra.Command {
	s := &shared{}
	root := &cobra.Command{
		Use:   "tapkeeper",
		Short: "Takes payments from phone wallets, and never loses one",
		Long: `tapkeeper takes payments from phone wallets on an NFC reader, keeps them through
network drops and power cuts, and settles them with the wallet.

  tapkeeper serve --config FILE      run the daemon
  tapkeeper pay 12.50 --order 1001   take a payment
  tapkeeper refund ID 4.50           give a part of it back
  tapkeeper show ID --trace          what became of a payment, and its tap
  tapkeeper queue                    what the wallet has not confirmed yet
  tapkeeper recon                    compare the day with the wallet
  tapkeeper status                   the lane at a glance
  tapkeeper card read                what a card or phone says, without paying
  tapkeeper reader list              find, watch and measure card readers
  tapkeeper decode HEX               the bytes of a tap in words`,
		Version: version, SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.PersistentFlags().StringVar(&s.socket, "socket", socketFromEnvironment(), "the daemon's socket")
	root.PersistentFlags().BoolVar(&s.json, "json", false, "print JSON")
	root.AddCommand(newServe(s), newPay(s), newRefund(s), newShow(s), newQueue(s), newRecon(s), newStatus(s), newEvidence(s), newVerify(s),
		newDecode(s), newCard(s), newReader(s), newWallet(s))
	root.SetHelpCommand(newHelp(root))
	for _, c := range append(root.Commands(), root) {
		positional := c.Args
		c.Args = func(c *cobra.Command, args []string) error {
			if positional == nil {
				positional = cobra.NoArgs
			}
			if err := positional(c, args); err != nil {
				return usage(err)
			}
			return nil
		}
	}
	return root
}

// newHelp is the library's, but for a verb that it does not know.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB]", Short: "What tapkeeper, or one of its verbs, does",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("unknown command %q", rest[0])
			}
			if err != nil {
				return usage(err)
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

func socketFromEnvironment() string {
	if path := os.Getenv("TAPKEEPER_SOCKET"); path != "" {
		return path
	}
	return defaultSocket
}

// usage marks an error as the caller's own.
func usage(err error) error {
	return &failure{code: exitUsage, err: err, hint: "tapkeeper --help, or tapkeeper VERB --help"}
}

var errNotApproved = errors.New("not approved")
