package uplink_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/uplink/wire/wiretest"
)

var address = wire.Address{Merchant: "noodle-bar", Terminal: "till-1"}

// quick is the timing of tests: everything a person would wait for, in short.
func quick() uplink.Timing {
	return uplink.Timing{
		Connect: 2 * time.Second, KeepAlive: time.Second, PingTimeout: time.Second, Write: time.Second,
		Ack: 2 * time.Second, Echo: 200 * time.Millisecond, State: time.Second, Heard: time.Second,
		RetryFirst: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond,
		ResendFirst: 300 * time.Millisecond, ResendMax: 2 * time.Second,
	}
}

// parties are the two ends' keys.
type parties struct {
	terminal *wire.Terminal
	wallet   *wire.Wallet
}

func newParties(t *testing.T) parties {
	t.Helper()
	signing := func() wire.SigningKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := wire.NewSigningKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dk, err := wire.NewDecryptionKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	tk, wk := signing(), signing()
	var p parties
	if p.terminal, err = wire.NewTerminal(wire.TerminalKeys{Address: address, Signing: tk,
		WalletSigning: []ed25519.PublicKey{wk.Public()}, WalletEncryption: dk.Public()}); err != nil {
		t.Fatal(err)
	}
	if p.wallet, err = wire.NewWallet(wire.WalletKeys{Signing: wk, Decryption: dk,
		Terminal: func(wire.Address, string) (ed25519.PublicKey, error) { return tk.Public(), nil }}); err != nil {
		t.Fatal(err)
	}
	return p
}

// desk is a wallet that takes every payment once and answers what it is sent.
type desk struct {
	t      *testing.T
	wallet *wire.Wallet

	mu     sync.Mutex
	seen   map[wire.ID]int // how often each message came
	order  []wire.ID       // first arrivals
	states []wire.State
	silent func(*wire.Message) bool // no answer to these
	schema func(topic string, payload []byte)
}

func newDesk(t *testing.T, w *wire.Wallet) *desk {
	return &desk{t: t, wallet: w, seen: map[wire.ID]int{}, schema: wiretest.Watch(t)}
}

func (d *desk) handle(topic string, payload []byte) []uplinktest.Publication {
	messages, err := wire.Split(topic, payload)
	if err != nil {
		d.t.Errorf("the desk got a bad batch on %s: %v", topic, err)
	}
	var out []uplinktest.Publication
	for _, m := range messages {
		out = append(out, d.handleOne(topic, m)...)
	}
	d.schema(topic, payload)
	for _, p := range out {
		d.schema(p.Topic, p.Payload)
	}
	return out
}

func (d *desk) handleOne(topic string, payload []byte) []uplinktest.Publication {
	m, err := d.wallet.Open(topic, payload)
	if err != nil {
		d.t.Errorf("the desk got a bad message on %s: %v", topic, err)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[m.ID]++; d.seen[m.ID] == 1 && m.Kind != wire.KindEcho && m.Kind != wire.KindState {
		d.order = append(d.order, m.ID)
	}
	if s, ok := m.Data.(wire.State); ok {
		d.states = append(d.states, s)
	}
	if d.silent != nil && d.silent(m) {
		return nil
	}
	var answer wire.Data
	switch b := m.Data.(type) {
	case wire.Advice:
		answer = wire.Receipt{Answer: m.Reply(), PaymentID: b.PaymentID, Sequence: m.Sequence,
			Result: wire.Accepted, State: wire.StateTaken, AmountMinor: b.AmountMinor, WalletRef: "W" + b.PaymentID.String()[:8]}
	case wire.Query:
		answer = wire.Status{Answer: m.Reply(), PaymentID: b.PaymentID, State: wire.StateUnknown}
	case wire.Echo:
		answer = wire.EchoAnswer{Answer: m.Reply()}
	default:
		return nil
	}
	raw, err := d.wallet.Seal(m.Terminal, wire.Header{ID: newID(), Time: time.Now()}, answer)
	if err != nil {
		d.t.Errorf("seal answer: %v", err)
		return nil
	}
	return []uplinktest.Publication{{Topic: m.Terminal.DownTopic(answer.Kind()), Payload: raw}}
}

func (d *desk) count(id wire.ID) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[id]
}

// box is an outbox in memory: a receipt for an entry removes it.
type box struct {
	mu      sync.Mutex
	entries []uplink.Entry
	changed chan struct{}
	handled []wire.ID // in the order of removal
}

func newBox() *box { return &box{changed: make(chan struct{})} }

func (b *box) Waiting(limit int, known func(wire.ID) bool) ([]uplink.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := append([]uplink.Entry(nil), b.entries[:min(limit, len(b.entries))]...)
	for i := range out {
		if known(out[i].ID) {
			out[i].Kind, out[i].Body = "", nil
		}
	}
	return out, nil
}

func (b *box) Sent([]wire.ID) {}

func (b *box) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *box) add(e ...uplink.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e...)
	b.wake()
}

func (b *box) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *box) handle(_ context.Context, m *wire.Message) error {
	r, ok := m.Data.(wire.Receipt)
	if !ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range b.entries {
		if e.ID == r.Answers && wire.DigestOf(e.Body) == r.AnswersSHA256 {
			b.entries = append(b.entries[:i:i], b.entries[i+1:]...)
			b.handled = append(b.handled, e.ID)
			b.wake()
			return nil
		}
	}
	return nil
}

func (b *box) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries)
}

func newID() wire.ID {
	var id wire.ID
	rand.Read(id[:])
	return id
}

// advice seals entry number n of a group.
func (p parties) advice(t *testing.T, n int, group string) uplink.Entry {
	t.Helper()
	id := newID()
	body, err := p.terminal.Seal(wire.Header{ID: id, Sequence: uint64(n), Time: time.Now()}, wire.Advice{Payment: wire.Payment{
		PaymentID: newID(), OrderRef: fmt.Sprint("order ", n), AmountMinor: int64(100 + n), Currency: "CNY",
		BusinessDay: "2026-11-24", AcceptedAt: wire.At(time.Now()), RecordKind: 1, Record: wire.NewRecord([]byte("evidence")),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return uplink.Entry{ID: id, Group: group, Kind: wire.KindAdvice, Body: body}
}

// start runs a link and, with an outbox, its forwarding, until the test ends.
func start(t *testing.T, cfg uplink.Config, b *box) *uplink.Link {
	t.Helper()
	if cfg.Timing == (uplink.Timing{}) {
		cfg.Timing = quick()
	}
	if b != nil && cfg.Handle == nil {
		cfg.Handle = b.handle
	}
	l, err := uplink.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	if b != nil {
		all.Go(func() {
			if err := l.Forward(ctx, b); err != nil {
				t.Errorf("Forward: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		began := time.Now()
		cancel()
		all.Wait()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
	return l
}

// noLeaks checks for goroutines after every other cleanup of the test.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func startBroker(t *testing.T, o uplinktest.Options) *uplinktest.Broker {
	t.Helper()
	noLeaks(t)
	b, err := uplinktest.NewBroker(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

func startRelay(t *testing.T, target string) *uplinktest.Relay {
	t.Helper()
	r, err := uplinktest.NewRelay(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", within, what)
}
