package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/reader"
	"tapkeeper/reader/pcsc"
	"tapkeeper/reader/virtual"
	"tapkeeper/till"
)

// cardFlags are the flags of card read.
type cardFlags struct {
	reader, virtual string
	wait            time.Duration
	unmask          bool
}

func newCard(s *shared) *cobra.Command {
	var f cardFlags
	c := &cobra.Command{
		Use: "card read", Short: "Read any contactless card or phone, without the daemon",
		Long: `Read the directory, the applications and the records of a contactless card or
phone, and show them masked. It pays nothing: only SELECT, GET PROCESSING OPTIONS,
READ RECORD and GET RESPONSE can be sent, never GENERATE AC, and the amount is 0.

Of the scheme's own cards only the plain records are readable; what the phone
encrypts stays encrypted, because the key of this reading is thrown away.`,
		Example: "  tapkeeper card read\n  tapkeeper card read --reader \"ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 00\"\n  tapkeeper card read --virtual field.sock --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != "read" {
				return fmt.Errorf("unknown words %q, want: card read", args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if f.reader != "" && f.virtual != "" {
				return usage(errors.New("--reader and --virtual exclude each other"))
			}
			if f.wait <= 0 {
				return usage(errors.New("--wait must be more than 0"))
			}
			if err := refuseDaemon(c.Context(), s.socket, f); err != nil {
				return err
			}
			r, done, err := openField(f)
			if err != nil {
				return err
			}
			defer done()
			return readCard(c.Context(), r, f, c.OutOrStdout(), s.json)
		},
	}
	c.Flags().StringVar(&f.reader, "reader", "", "the PC/SC name of the reader (default: the first contactless one)")
	c.Flags().StringVar(&f.virtual, "virtual", "", "open a virtual reader on this socket instead")
	c.Flags().DurationVar(&f.wait, "wait", 30*time.Second, "how long to wait for a card")
	c.Flags().BoolVar(&f.unmask, "unmask", false, "show what is masked, but for the cardholder's data")
	return c
}

// askDaemon bounds the question whether a daemon runs.
const askDaemon = 2 * time.Second

// refuseDaemon refuses a reader that the daemon has: two programs that send
// commands to one card would spoil a payment.
func refuseDaemon(ctx context.Context, socket string, f cardFlags) error {
	ctx, cancel := context.WithTimeout(ctx, askDaemon)
	defer cancel()
	status, err := till.NewClient(socket).Status(ctx)
	if errors.Is(err, till.ErrNoDaemon) {
		return nil
	}
	name := status.Reader.Name
	if err != nil { // one runs, and does not say with what
		name = "a reader of unknown name"
	}
	isVirtual := len(name) > len("virtual ") && name[:len("virtual ")] == "virtual "
	switch {
	case err == nil && f.virtual == "" && isVirtual:
		return nil
	case err == nil && f.virtual != "" && name != "virtual "+f.virtual:
		return nil
	case err == nil && f.reader != "" && !isVirtual && name != f.reader && name != firstReader:
		return nil
	}
	return &failure{exitTryAgain, fmt.Errorf("the daemon on %s holds %s", socket, name),
		"stop it first: systemctl stop tapkeeper, or name another reader with --reader or --virtual"}
}

// firstReader is what package pcsc calls a reader that was not named.
const firstReader = "first contactless PC/SC reader"

// openField opens the reader, and returns what closes it.
func openField(f cardFlags) (reader.Reader, func(), error) {
	if f.virtual != "" {
		r, err := virtual.Listen(f.virtual)
		if errors.Is(err, reader.ErrBusy) {
			return nil, nil, &failure{exitTryAgain, err, "another program, perhaps the daemon, holds this socket; stop it first: systemctl stop tapkeeper"}
		}
		if err != nil {
			return nil, nil, &failure{exitUnavailable, err, "name a path in a folder that you own"}
		}
		return r, func() { _ = r.Close() }, nil
	}
	known, err := models()
	if err != nil {
		return nil, nil, err
	}
	service, err := pcsc.New(known...)
	if err != nil {
		return nil, nil, err
	}
	r := service.Reader(f.reader)
	return r, func() { _ = r.Close(); _ = service.Close() }, nil
}

// stateEvery is how often a wait looks at what the reader says of itself, and
// stateTwice how many looks in a row must say the same before it counts: a reader
// that has just been opened knows nothing yet.
const (
	stateEvery = 250 * time.Millisecond
	stateTwice = 8
)

// awaitCard waits for a card, and gives up early on a reader that cannot see one.
func awaitCard(ctx context.Context, r reader.Reader, wait time.Duration) (reader.Card, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	trouble := make(chan error, 1)
	go func() {
		trouble <- watchReader(ctx, r)
		cancel()
	}()
	card, err := r.Await(ctx)
	cancel()
	why := <-trouble
	switch {
	case err == nil:
		return card, nil
	case why != nil:
		return nil, why
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &failure{exitTryAgain, fmt.Errorf("no card within %s", wait), "hold the card still on the reader, or wait longer with --wait"}
	case errors.Is(err, reader.ErrManyCards):
		return nil, &failure{exitTryAgain, err, "leave one card in the field"}
	}
	return nil, err
}

// watchReader returns an error when the reader says for a while that it cannot see
// a card, and nil when ctx ends.
func watchReader(ctx context.Context, r reader.Reader) error {
	stater, ok := r.(reader.Stater)
	if !ok {
		return nil
	}
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	for bad := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		state := stater.State()
		if state.Usable() || state == reader.Starting {
			bad = 0
			continue
		}
		if bad++; bad < stateTwice {
			continue
		}
		hint := "plug the reader in, check that pcscd runs: systemctl status pcscd.socket"
		code := exitUnavailable
		switch state {
		case reader.Forbidden:
			hint = "give this user the socket of pcscd, or polkit's leave: docs/readers.md has the rule"
		case reader.Ambiguous:
			hint, code = "name one with its serial number or its whole name: tapkeeper reader list", exitUsage
		case reader.Held:
			hint, code = "stop the program that holds it, perhaps the daemon: systemctl stop tapkeeper", exitTryAgain
		}
		return &failure{code, fmt.Errorf("%s: %s", r.Name(), state), hint}
	}
}
