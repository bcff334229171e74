// Package uplink is the MQTT link between a terminal and the wallet's backend.
//
// A [Link] keeps one connection at a time up while Run runs, tells the wallet
// that the terminal is there, and knows whether the wallet is. Forward empties an
// outbox over it, Ask asks one question with a deadline.
//
// It promises that an entry is sent again and again until it has left the outbox,
// in order per group, over any number of cuts; that nothing reaches the handler
// but what the wallet signed for this terminal; that a dead peer is noticed
// within about 9 s by default; and that stopping takes a bounded time.
//
// It never takes a broker's acknowledgement for delivery: a broker killed after
// PUBACK loses messages. It keeps nothing on disk: the outbox is the only memory.
// Answers can come twice, late, or for something already done; the handler must
// expect it.
package uplink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"tapkeeper/uplink/wire"
)

// ErrDown is returned by Send and Ask when no connection is up.
var ErrDown = errors.New("the link to the wallet is down")

// Link is the terminal's end. Its methods may be called from any goroutine.
type Link struct {
	cfg      Config
	brokers  []broker // Run's: next is the one to connect to
	next     int
	identity *identity // nil without files

	mu       sync.Mutex
	running  bool
	session  *session // nil while down
	number   uint64   // of the session; rises with every connection
	presence presence
	status   Status
	faults   map[string]int64
	open     map[wire.ID]*question // sent, and not answered or given up
	changed  chan struct{}         // closed and replaced when the session changes
	random   *mathrand.Rand        // jitter
	asking   int                   // questions of Ask that are open
	asked    time.Time             // when the last of them ended
	hurries  uint64                // calls of SyncNow
	hurry    chan struct{}         // closed and replaced by SyncNow
	handlers chan struct{}         // as many as run at a time for batches
	quiet    chan struct{}         // holds one signal: the wallet missed a deadline
	tell     chan struct{}         // holds one signal: the state is to be told now
}

// question is a message that the wallet may answer.
type question struct {
	digest wire.Digest
	answer chan *wire.Message // buffered for one; nil if only the handler waits
}

// New checks the configuration; it opens nothing.
func New(cfg Config) (*Link, error) {
	b, err := cfg.check()
	if err != nil {
		return nil, err
	}
	cfg.setDefaults()
	now := time.Now()
	l := &Link{
		cfg:      cfg,
		brokers:  b,
		number:   cfg.Session,
		presence: presence{within: cfg.Timing.Heard},
		status:   Status{Since: now, Problem: NotStarted, Text: "not started yet"},
		faults:   map[string]int64{},
		open:     map[wire.ID]*question{},
		changed:  make(chan struct{}),
		random:   mathrand.New(mathrand.NewPCG(cfg.Seed, 0)),
		hurry:    make(chan struct{}),
		handlers: make(chan struct{}, cfg.Handlers),
		quiet:    make(chan struct{}, 1),
		tell:     make(chan struct{}, 1),
	}
	l.next = l.random.IntN(len(b)) // so that a fleet spreads over a cluster
	if b[0].tls && cfg.TLS == nil {
		a := cfg.Terminal.Address()
		l.identity = &identity{files: cfg.Files, name: a.Merchant + "/" + a.Terminal, now: cfg.Now}
	}
	return l, nil
}

// Run keeps the link up until ctx is done, and then returns nil within a second
// or two. It fails only if it runs already.
func (l *Link) Run(ctx context.Context) error {
	l.mu.Lock()
	if l.running {
		l.mu.Unlock()
		return errors.New("run link: it runs already")
	}
	l.running = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.running = false
		l.mu.Unlock()
	}()
	wait := backoff{first: l.cfg.Timing.RetryFirst, max: l.cfg.Timing.RetryMax}
	for {
		began := time.Now()
		err := l.connection(ctx)
		if ctx.Err() != nil {
			l.setDown(&Trouble{Problem: Stopped, Text: "stopped"})
			return nil
		}
		t := troubleOf(err)
		l.setDown(t)
		if !errors.Is(err, errRenew) {
			l.next = (l.next + 1) % len(l.brokers)
		}
		if time.Since(began) > l.cfg.Timing.RetryMax {
			wait.reset() // it held for a while: this is a new story
		}
		if errors.Is(err, errRenew) {
			continue
		}
		if t.Problem == NotAuthorised {
			wait.exhaust() // asking more often only fills the broker's log
		}
		if !l.pause(ctx, &wait) {
			l.setDown(&Trouble{Problem: Stopped, Text: "stopped"})
			return nil
		}
	}
}

// pause waits before the next attempt to connect, or until SyncNow; false when
// ctx was done before.
func (l *Link) pause(ctx context.Context, wait *backoff) bool {
	l.mu.Lock()
	hurry := l.hurry
	l.mu.Unlock()
	t := time.NewTimer(l.jitter(wait.next()))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-hurry:
		wait.reset()
		return true
	case <-ctx.Done():
		return false
	}
}

// SyncNow connects at once when the link waits to connect, and lets Forward send
// every waiting entry now, whatever its delay. It waits for nothing.
func (l *Link) SyncNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hurries++
	close(l.hurry)
	l.hurry = make(chan struct{})
}

// connection is one connection from dialling to its end. It returns why it ended.
func (l *Link) connection(ctx context.Context) error {
	l.mu.Lock()
	l.number++
	number := l.number
	l.mu.Unlock()
	s, err := openSession(ctx, l, number)
	if err != nil {
		return err
	}
	defer s.close()
	l.setUp(s)
	return s.serve(ctx)
}

// Send publishes a sealed message and waits for the broker's PUBACK. That is no
// proof of anything but that the link works: only the wallet's answer counts.
func (l *Link) Send(ctx context.Context, kind wire.Kind, jws []byte) error {
	s, err := l.current()
	if err != nil {
		return err
	}
	return s.publish(ctx, l.cfg.Terminal.Address().UpTopic(kind), jws, false)
}

// Ask publishes a sealed message with the given id and waits for the wallet's
// verified answer to exactly these bytes. The deadline is the context's: a missed
// one is not a no, and the caller says so with MissedDeadline. The answer goes to
// the handler too, in any case.
func (l *Link) Ask(ctx context.Context, kind wire.Kind, id wire.ID, jws []byte) (*wire.Message, error) {
	q := &question{digest: wire.DigestOf(jws), answer: make(chan *wire.Message, 1)}
	l.mu.Lock()
	if before := l.open[id]; before != nil && before.answer != nil {
		l.mu.Unlock()
		return nil, fmt.Errorf("ask %s: the same message is being asked already", kind)
	}
	l.open[id] = q
	l.asking++
	l.mu.Unlock()
	defer l.forget(id, q)
	defer func() {
		l.mu.Lock()
		l.asking--
		l.asked = time.Now()
		l.mu.Unlock()
	}()
	sent := make(chan error, 1)
	// Aside, because the library may block for the time of a write, and because
	// the answer may overtake the PUBACK. It ends with the context, or that write.
	go func() { sent <- l.Send(ctx, kind, jws) }()
	for {
		select {
		case m := <-q.answer:
			return m, nil
		case err := <-sent:
			if err != nil && ctx.Err() == nil {
				return nil, fmt.Errorf("ask %s: %w", kind, err)
			}
			sent = nil // acknowledged by the broker: that says nothing
		case <-ctx.Done():
			return nil, fmt.Errorf("ask %s: %w", kind, ctx.Err())
		}
	}
}

// Connected tells whether the link is up, the wallet answered within 60 s, and no
// deadline was missed since (terminal.md, "connected").
func (l *Link) Connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.presence.connected(time.Now())
}

// MissedDeadline says that the wallet did not answer in time: Connected is false
// until it is heard again.
func (l *Link) MissedDeadline() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.presence.missed()
	select {
	case l.quiet <- struct{}{}:
	default: // it is known already
	}
}

// TellState publishes the state soon, and not with the next heartbeat only. It waits
// for nothing; while the link is down, the next birth tells.
func (l *Link) TellState() {
	select {
	case l.tell <- struct{}{}:
	default: // it is going to be told
	}
}

// forget ends a question, unless another took its place.
func (l *Link) forget(id wire.ID, q *question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[id] == q {
		delete(l.open, id)
	}
}

func (l *Link) current() (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil {
		return nil, ErrDown
	}
	return l.session, nil
}

// jitter spreads d over 50 to 100 %, so that a fleet does not come back at once.
func (l *Link) jitter(d time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return d/2 + time.Duration(l.random.Int64N(int64(d/2)+1))
}

// header is that of a message outside the journal.
func (l *Link) header() wire.Header {
	return wire.Header{ID: l.cfg.NewID(), Time: l.cfg.Now()}
}

// randomID is a random UUID (RFC 9562, version 4).
func randomID() wire.ID {
	var id wire.ID
	rand.Read(id[:]) // never fails (Go 1.24)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
