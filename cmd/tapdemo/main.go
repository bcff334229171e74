// Command tapdemo is a whole store in one command: an MQTT broker, a network
// that can be cut, the wallet's backend with its ledger, and customers' phones,
// around the real daemon as its child, so that it can be killed for real. It
// needs no configuration, no root and no network.
//
// It tells a story and shows it as it happens. Its exit status is 0 only if
// every step came out as it must and both books agree at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"tapkeeper/reader/readertest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once; the children end with us
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "stopped; the store is closed")
		os.Exit(130)
	case errors.Is(err, readertest.ErrNoPCSCD):
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(exitUnavailable)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// exitUnavailable says that this machine cannot give a pcscd, as in a chroot;
// the story itself has not been told.
const exitUnavailable = 69

// options are what a caller may choose.
type options struct {
	reader string // virtual, pcsc, pn532 or zvt
	daemon string // the tapkeeper binary
	serve  bool
	taps   int
	keep   bool
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("tapdemo", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.reader, "reader", "virtual", "virtual, pn532 for a serial reader on a pty, zvt for a card terminal, or pcsc for a real pcscd with a virtual card (needs root)")
	flags.StringVar(&o.daemon, "daemon", besides("tapkeeper"), "the tapkeeper binary")
	flags.BoolVar(&o.serve, "serve", false, "stay up for playing instead of telling the story")
	flags.IntVar(&o.taps, "taps", 0, "measure this many taps, end to end, instead of telling the story")
	flags.BoolVar(&o.keep, "keep", false, "keep the store's folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if _, err := os.Stat(o.daemon); err != nil {
		return fmt.Errorf("no daemon at %s: build it first, with: make build", o.daemon)
	}
	if o.reader == "zvt" && (o.serve || o.taps > 0) {
		return errors.New("-reader zvt tells its story alone: it takes cards, and no phone can be tapped on it")
	}
	limits := storyLimits
	if o.serve || o.taps > 0 {
		limits = roomyLimits
	}
	s, err := openStore(ctx, o, limits)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	switch {
	case o.taps > 0:
		return measure(ctx, s, o.taps, out)
	case o.serve:
		return play(ctx, s, in, out)
	}
	if s.Cards != nil {
		return tellCards(ctx, s, out)
	}
	return tell(ctx, s, out)
}

// besides is a program in the folder of this one.
func besides(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}
