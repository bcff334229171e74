// Command phonesim is a phone in software that is held to a reader: to pcscd's virtual reader over TCP, or to
// tapkeeper's virtual reader on a unix socket. Its cards and what they remember lie in a wallet file, and an answer
// that commits a payment leaves only when that file is on the disk.
//
// It knows nothing of terminals, and refuses to be a wallet for real money: the keys in the file are not protected.
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

func newRoot() *cobra.Command {
	var t tap
	root := &cobra.Command{
		Use:   "phonesim --wallet FILE [--connect READER]",
		Short: "A phone in software, held to a virtual reader",
		Long: `phonesim holds a phone to a virtual reader, and takes it away again.

  phonesim --wallet alice.json --connect tcp:127.0.0.1:35963     pcscd with vsmartcard-vpcd
  phonesim --wallet alice.json --connect unix:/run/tapkeeper/field --verified
  phonesim --wallet alice.json --hold 0                          until Ctrl-C
  phonesim --wallet alice.json --persona leaves-after-generate   a phone that misbehaves
  phonesim --wallet alice.json --pn532 /tmp/reader --hold 0      a PN532 on a serial line, with the phone in its field
  phonesim --zvt /tmp/terminal --fault cut-after@7               a ZVT card terminal, and its line is cut

walletd init makes wallet files. One wallet file belongs to one phone: two that
run at once on the same file would spend the same money, so the second is stopped.

--pn532 and --zvt make the device's end of a serial line: a symbolic link that the
daemon's configuration names as its device, or tcp:HOST:PORT. --fault NAME@NUMBER
makes one thing go wrong, at that message; a wrong name lists all.

--persona list names the ways in which a phone can misbehave. A persona counts its
taps from the start of this program, and what it does stays in the wallet file: give
it a wallet of its own, for an honest phone may not be able to pay from it again.`,
		Version: version, SilenceErrors: true, SilenceUsage: true,
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.NoArgs(c, args); err != nil {
				return usage(err)
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return t.run(c.Context(), c.OutOrStdout()) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	f := root.Flags()
	f.StringVar(&t.connect, "connect", "tcp:127.0.0.1:35963", "the reader: tcp:HOST:PORT or unix:PATH")
	f.StringVar(&t.wallet, "wallet", "", "the wallet file (required)")
	f.DurationVar(&t.hold, "hold", defaultHold, "how long the phone stays in the field, 0 is until interrupted")
	f.StringVar(&t.persona, "persona", "", "how the phone misbehaves; list names all ways")
	f.StringVar(&t.pn532, "pn532", "", "be a PN532 with the phone in its field, on a serial line at this path")
	f.StringVar(&t.zvt, "zvt", "", "be a ZVT card terminal on a serial line at this path")
	f.StringVar(&t.fault, "fault", "", "what goes wrong with --pn532 or --zvt: NAME@NUMBER")
	f.IntVar(&t.decline, "decline", 0, "result code of --zvt's payments; 0 approves")
	f.BoolVar(&t.verified, "verified", false, "the owner has unlocked the phone for this tap")
	return root
}
