package lane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/queue"
	"tapkeeper/queue/vault"
	"tapkeeper/reader"
	"tapkeeper/terminal"
	"tapkeeper/uplink"
	"tapkeeper/uplink/wire"
)

// Lane is one running lane.
type Lane struct {
	cfg     Config
	version string
	since   time.Time
	log     zerolog.Logger

	store    *queue.Store
	source   *vault.Source // of the journal's master key
	counter  *tpmCounter   // nil: no TPM counts
	reader   reader.Reader
	acceptor terminal.Acceptor // nil: phones are tapped on the reader
	link     *uplink.Link
	terminal *terminal.Terminal
	clock    *clock
	hotlist  *hotlist
	handling handling
	closing  []func() error // in the order of opening

	keys     sync.Mutex // guards master, usesNext
	master   *vault.Key
	usesNext bool // see KeyState
}

// Terminal is what a till talks to.
func (l *Lane) Terminal() *terminal.Terminal { return l.terminal }

// Run works until ctx ends, or until the journal cannot be trusted any more.
// What was in flight is resolved before it reports ready.
func (l *Lane) Run(ctx context.Context, ready func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := l.terminal.Recover(ctx); err != nil {
		return err
	}
	ready()
	var running sync.WaitGroup
	run := func(name string, f func(context.Context) error) {
		running.Go(func() {
			if err := f(ctx); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	run("terminal", l.terminal.Run)
	run("wallet link", l.link.Run)
	run("upkeep", l.prune)
	run("lights", l.lights)
	run("counter", l.counting)
	run("outbox", func(ctx context.Context) error { return l.link.Forward(ctx, outbox{l.store}) })
	<-ctx.Done()
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Close gives back what Open took, the last first.
func (l *Lane) Close() error {
	var errs []error
	for i := len(l.closing) - 1; i >= 0; i-- {
		errs = append(errs, l.closing[i]())
	}
	l.closing = nil
	return errors.Join(errs...)
}

// handle takes a verified message of the wallet.
func (l *Lane) handle(ctx context.Context, m *wire.Message) error {
	if m.Kind == wire.KindEchoAnswer { // alone is fresh: a receipt may be of days ago
		l.sawWallet(ctx, m.Time)
	}
	switch m.Kind {
	case wire.KindHotlist:
		l.hotlist.take(ctx, m)
		return nil
	case wire.KindConfig, wire.KindCommand:
		l.hotlist.ignore(m.Kind)
		return nil
	}
	if err := l.terminal.Receive(ctx, m); err != nil {
		l.log.Error().Err(err).Str("kind", string(m.Kind)).Msg("a message of the wallet could not be kept")
		return err
	}
	return nil
}

// sawWallet takes the wallet's time; the first of a boot outlives a restart.
func (l *Lane) sawWallet(ctx context.Context, at time.Time) {
	if first, isFirst := l.clock.sawWallet(at); isFirst {
		if err := l.clock.keep(ctx, first); err != nil {
			l.log.Warn().Err(err).Msg("the wallet's time could not be kept for the next start")
		}
	}
}

// linkChanged tells the log what the link is doing.
func (l *Lane) linkChanged(s uplink.Status) {
	if c := s.Certificate; c.Problem != "" {
		l.log.Warn().Str("problem", c.Problem).Msg("the new certificate is not taken; the last good one stays in use")
	} else if c.Expiring {
		l.log.Warn().Time("not_after", c.NotAfter).Msg("this terminal's certificate ends soon: replace its files")
	}
	if s.Up {
		l.log.Info().Uint64("session", s.Session).Msg("wallet link is up")
		return
	}
	e := l.log.Warn()
	if s.Attempts > 1 {
		e = l.log.Debug() // said once; the status has it
	}
	e.Str("problem", string(s.Problem)).Str("text", s.Text).Msg("wallet link is down")
}

// Reconcile compares a business day with the wallet.
func (l *Lane) Reconcile(ctx context.Context, day string) ([]terminal.Reconciliation, error) {
	ctx, cancel := context.WithTimeout(ctx, reconcileWait)
	defer cancel()
	return l.terminal.Reconcile(ctx, day)
}

// reconcileWait bounds a reconciliation: one question where the books agree, some
// hundred where 10,000 payments differ.
const reconcileWait = 60 * time.Second
