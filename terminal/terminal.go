package terminal

import (
	"context"
	"io"
	"sync"
	"time"

	"tapkeeper/emv"
	"tapkeeper/uplink/wire"
)

// Field is where phones are tapped.
type Field interface {
	// Await blocks until one phone is in the field. ErrManyPhones means that it
	// should be called again once the customer has taken one away;
	// ErrNoField that there is no reader for now.
	Await(ctx context.Context) (Phone, error)
}

// Phone is one activation of the field.
type Phone interface {
	// Transmit sends a command and returns the answer with the time it took.
	// An error is an L1 error of the scheme: no answer can be had.
	Transmit(ctx context.Context, command []byte) (answer []byte, took time.Duration, err error)
	// Release ends the activation and keeps the field off for at least off.
	Release(off time.Duration) error
}

// Asker asks the wallet and waits for its verified answer, until ctx ends.
// The answer goes to Receive as well.
type Asker interface {
	Ask(ctx context.Context, kind wire.Kind, id ID, message []byte) (*wire.Message, error)
}

// Wallet is the link to the wallet's backend.
type Wallet interface {
	Asker
	// Link says whether the wallet can be reached at all, and whether it was
	// heard recently enough to decide a tap together with it.
	Link() (up, connected bool)
	// MissedDeadline clears connected until the wallet is heard again.
	MissedDeadline()
}

// Trust are the lookups of a tap that do not come from the journal.
type Trust interface {
	emv.Revocations
	emv.Exceptions
	// CRLAgeDays at a moment.
	CRLAgeDays(now time.Time) int
}

// Changing is a Trust whose lists change while the terminal runs. A payment keeps
// those of its beginning until its end.
type Changing interface {
	Trust
	Now() Trust
}

// lists are what a payment that begins now asks.
func (t *Terminal) lists() Trust {
	if c, ok := t.trust.(Changing); ok {
		return c.Now()
	}
	return t.trust
}

// Terminal runs payments. Make one with New, let it Recover, then Run it.
type Terminal struct {
	cfg      Config
	journal  Journal
	field    Field
	acceptor Acceptor // nil: phones are tapped on the field
	wallet   Wallet
	keys     *wire.Terminal
	trust    Trust
	clock    Clock
	chain    Chain // nil: there is no chain, and no anchor for it
	random   io.Reader

	locks   keyLocks // one change of a payment, or of an order, at a time
	armed   chan ID  // the payment that waits for the field; holds one
	workers sync.WaitGroup

	mu      sync.Mutex // guards what follows
	ready   bool       // Recover has run: payments may be opened
	active  *active    // the payment that has the field
	hints   map[ID]Hint
	changed chan struct{} // closed and replaced at every change
	unsent  map[ID]time.Time
	fatal   error      // the journal lost certainty: nothing more is accepted
	known   *wire.Head // the wallet's anchor, found in the chain
	oldCopy bool       // the wallet's anchor is not in the chain
	life    context.Context
}

// active is the payment that has the field.
type active struct {
	id        ID
	cancelled bool                    // asked for by the cashier
	cancel    context.CancelCauseFunc // set once the field is attended
	spent     bool                    // GENERATE AC may have been sent: it can no longer be cancelled
}

// Parts are what a terminal is joined from.
type Parts struct {
	Journal  Journal
	Field    Field
	Acceptor Acceptor // a card terminal instead of the field; nil: none
	Wallet   Wallet
	Keys     *wire.Terminal
	Trust    Trust
	Clock    Clock
	Chain    Chain     // the journal as a chain; nil: no evidence, no anchor
	Random   io.Reader // crypto/rand outside simulations (scheme 6.8)
}

// New joins a terminal. It reads and changes nothing.
func New(cfg Config, p Parts) (*Terminal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Terminal{
		cfg: cfg, journal: p.Journal, field: p.Field, acceptor: p.Acceptor, wallet: p.Wallet, keys: p.Keys,
		trust: p.Trust, clock: p.Clock, chain: p.Chain, random: p.Random,
		armed:   make(chan ID, 1),
		hints:   map[ID]Hint{},
		changed: make(chan struct{}),
		unsent:  map[ID]time.Time{},
	}, nil
}

// Run takes taps until ctx ends, or until the journal can no longer be
// trusted; then it returns that error. It waits for its own work to stop: at
// most one tap (scheme 5.9) and one commit.
func (t *Terminal) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t.mu.Lock()
	t.life = ctx
	t.mu.Unlock()
	failed := t.watchFatal(ctx, stop)
	defer t.workers.Wait()
	for {
		select {
		case <-ctx.Done():
			return failed()
		case id := <-t.armed:
			t.attend(ctx, id)
		}
	}
}

// keyLocks serialises changes by key. A key without holders takes no memory.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]*keyLock
}

type keyLock struct {
	mu    sync.Mutex
	users int
}

// lock waits for the key and returns its release.
func (k *keyLocks) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*keyLock{}
	}
	l := k.held[key]
	if l == nil {
		l = &keyLock{}
		k.held[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		k.mu.Lock()
		if l.users--; l.users == 0 {
			delete(k.held, key)
		}
		k.mu.Unlock()
	}
}
