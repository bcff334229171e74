package uplink_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

func TestAskIsAnswered(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	var handled atomic.Int64
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Handle: func(_ context.Context, m *wire.Message) error {
		if m.Kind == wire.KindStatus {
			handled.Add(1)
		}
		return nil
	}}, nil)
	eventually(t, 3*time.Second, "connected", l.Connected)
	id, payment := newID(), newID()
	jws, err := p.terminal.Seal(wire.Header{ID: id, Time: time.Now()}, wire.Query{PaymentID: payment})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	m, err := l.Ask(ctx, wire.KindQuery, id, jws)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := m.Data.(wire.Status); !ok || s.PaymentID != payment || s.State != wire.StateUnknown {
		t.Errorf("got %+v", m.Data)
	}
	eventually(t, time.Second, "the handler got it too", func() bool { return handled.Load() == 1 })
}

func TestAskWithoutAnswer(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	d := newDesk(t, p.wallet)
	d.silent = func(m *wire.Message) bool { return m.Kind == wire.KindQuery }
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	timing := quick()
	timing.Echo = time.Minute // so that only the first echo is answered
	timing.Heard = time.Minute
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Timing: timing}, nil)
	eventually(t, 3*time.Second, "connected", l.Connected)
	id := newID()
	jws, _ := p.terminal.Seal(wire.Header{ID: id, Time: time.Now()}, wire.Query{PaymentID: newID()})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Ask(ctx, wire.KindQuery, id, jws); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Ask: %v", err)
	}
	if !l.Connected() {
		t.Error("the link itself judges a deadline that is the caller's")
	}
	l.MissedDeadline()
	if l.Connected() {
		t.Error("connected after a missed deadline")
	}
	d.mu.Lock()
	d.silent = nil
	d.mu.Unlock()
	id = newID()
	jws, _ = p.terminal.Seal(wire.Header{ID: id, Time: time.Now()}, wire.Query{PaymentID: newID()})
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := l.Ask(ctx, wire.KindQuery, id, jws); err != nil {
		t.Fatal(err)
	}
	if !l.Connected() {
		t.Error("not connected although the wallet was heard again")
	}
}

func TestConnectedNeedsTheWallet(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal}, nil)
	eventually(t, 3*time.Second, "up", func() bool { return l.Status().Up })
	time.Sleep(300 * time.Millisecond)
	if l.Connected() {
		t.Fatal("connected to a wallet that never spoke")
	}
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "connected", l.Connected)
	d.mu.Lock()
	d.silent = func(*wire.Message) bool { return true }
	d.mu.Unlock()
	eventually(t, 3*time.Second, "not connected once the wallet is silent", func() bool { return !l.Connected() && l.Status().Up })
	broker.Stop()
	eventually(t, 3*time.Second, "down", func() bool { return !l.Status().Up })
	if s := l.Status(); s.Problem == uplink.None || s.Text == "" {
		t.Errorf("down without a reason: %+v", s)
	}
	if err := l.Send(t.Context(), wire.KindEcho, nil); !errors.Is(err, uplink.ErrDown) {
		t.Errorf("Send while down: %v", err)
	}
}

func TestForwardRemovesOnlyOnReceipt(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	d := newDesk(t, p.wallet)
	d.silent = func(m *wire.Message) bool { return m.Kind == wire.KindAdvice }
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	b := newBox()
	first, second, other := p.advice(t, 1, "a"), p.advice(t, 2, "a"), p.advice(t, 3, "b")
	b.add(first, second, other)
	start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal}, b)
	eventually(t, 3*time.Second, "resent without a receipt", func() bool { return d.count(first.ID) >= 2 && d.count(other.ID) >= 2 })
	if n := b.left(); n != 3 {
		t.Fatalf("%d entries left without any receipt, want 3", n)
	}
	if d.count(second.ID) != 0 {
		t.Fatal("the second of a group left before the first was done")
	}
	d.mu.Lock()
	d.silent = nil
	d.mu.Unlock()
	eventually(t, 10*time.Second, "all done", func() bool { return b.left() == 0 })
}

// A broker that dies after PUBACK has acknowledged what it lost.
func TestBrokerKilledAfterPuback(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	b := newBox()
	e := p.advice(t, 1, "a")
	b.add(e)
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal}, b)
	eventually(t, 3*time.Second, "up", func() bool { return l.Status().Up })
	if err := l.Send(t.Context(), e.Kind, e.Body); err != nil {
		t.Fatalf("no PUBACK: %v", err)
	}
	broker.Stop() // nobody was subscribed: the message is gone
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	if b.left() != 1 {
		t.Fatal("PUBACK removed an entry")
	}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "resent and done", func() bool { return b.left() == 0 })
}

func TestCutsInTheMiddle(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	relay := startRelay(t, broker.Addr())
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	cutAndDrain(t, p, relay, d)
}

// cutAndDrain sends 500 entries of 100 groups through cuts; every one arrives,
// and each group in its order.
func cutAndDrain(t *testing.T, p parties, relay *uplinktest.Relay, d *desk) {
	t.Helper()
	const entries, groups = 500, 100
	b := newBox()
	group := map[wire.ID]string{}
	want := map[string][]wire.ID{}
	for n := range entries {
		g := string(rune('A' + n%groups))
		e := p.advice(t, n+1, g)
		group[e.ID] = g
		want[g] = append(want[g], e.ID)
		b.add(e)
	}
	var mu sync.Mutex
	var odd []uplink.Status
	// The cuts end connections, and nothing else may: a machine so busy that pings
	// are late would send everything again and again.
	timing := quick()
	timing.KeepAlive, timing.PingTimeout, timing.Write, timing.Ack = 5*time.Second, 20*time.Second, 20*time.Second, time.Minute
	timing.ResendFirst, timing.ResendMax = 5*time.Second, time.Minute
	start(t, uplink.Config{Broker: relay.URL(), Terminal: p.terminal, Timing: timing, Changed: func(s uplink.Status) {
		mu.Lock()
		defer mu.Unlock()
		if s.Problem != uplink.None && s.Problem != uplink.Lost && s.Problem != uplink.Stopped {
			odd = append(odd, s)
		}
	}}, b)
	random := rand.New(rand.NewPCG(1, 2))
	cuts := 0
	for end := time.Now().Add(180 * time.Second); b.left() > 0 && time.Now().Before(end); cuts++ {
		time.Sleep(time.Duration(20+random.IntN(80)) * time.Millisecond)
		if cuts < 15 {
			relay.Cut()
		}
	}
	if b.left() != 0 {
		t.Fatalf("%d of %d entries left", b.left(), entries)
	}
	mu.Lock()
	for _, s := range odd {
		t.Errorf("a cut is called %q (%s)", s.Problem, s.Text)
	}
	mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	got := map[string][]wire.ID{}
	repeated := 0
	for _, id := range d.order {
		got[group[id]] = append(got[group[id]], id)
	}
	for id := range group {
		repeated += d.seen[id] - 1
	}
	for g, ids := range want {
		if len(got[g]) != len(ids) {
			t.Fatalf("group %s: %d of %d arrived", g, len(got[g]), len(ids))
		}
		for i := range ids {
			if got[g][i] != ids[i] {
				t.Fatalf("group %s: out of order at %d", g, i)
			}
		}
	}
	t.Logf("%d entries, %d cuts, %d repetitions", entries, min(cuts, 15), repeated)
}

func TestHalfOpenIsNoticed(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	relay := startRelay(t, broker.Addr())
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	timing := quick()
	timing.Echo, timing.State, timing.Ack = time.Hour, time.Hour, time.Hour // the ping alone must notice
	timing.Heard = time.Hour
	l := start(t, uplink.Config{Broker: relay.URL(), Terminal: p.terminal, Timing: timing}, nil)
	eventually(t, 3*time.Second, "connected", l.Connected)
	began := time.Now()
	relay.Blackhole(true)
	eventually(t, 5*time.Second, "half-open connection noticed", func() bool { return !l.Status().Up })
	t.Logf("noticed after %v", time.Since(began))
	if s := l.Status(); s.Problem != uplink.TimedOut {
		t.Errorf("the reason is %q (%s)", s.Problem, s.Text)
	}
	if l.Connected() {
		t.Error("connected over a dead link")
	}
	eventually(t, 5*time.Second, "the reason", func() bool { return l.Status().Problem == uplink.TimedOut })
	relay.Blackhole(false)
	eventually(t, 5*time.Second, "back", l.Connected)
}

// With data to write, a peer that reads nothing blocks the writer before the ping.
func TestHalfOpenUnderLoad(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	relay := startRelay(t, broker.Addr())
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	b := newBox()
	l := start(t, uplink.Config{Broker: relay.URL(), Terminal: p.terminal}, b)
	eventually(t, 3*time.Second, "connected", l.Connected)
	relay.Blackhole(true)
	for n := range 200 {
		b.add(p.advice(t, n+1, fmt.Sprint(n)))
	}
	eventually(t, 10*time.Second, "noticed", func() bool { return !l.Status().Up })
	relay.Blackhole(false)
	eventually(t, 20*time.Second, "all arrive", func() bool { return b.left() == 0 })
}

func TestWrongCredentialsAreOneClearError(t *testing.T) {
	p := newParties(t)
	var attempts atomic.Int64
	broker := startBroker(t, uplinktest.Options{Allow: func(_, user, password string) bool {
		attempts.Add(1)
		return user == "till" && password == "right"
	}})
	password := atomic.Pointer[string]{}
	wrong, right := "wrong-pass", "right"
	password.Store(&wrong)
	timing := quick()
	timing.RetryMax = 2 * time.Second
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Timing: timing,
		Credentials: func() (string, string) { return "till", *password.Load() }}, nil)
	eventually(t, 3*time.Second, "refused", func() bool { return l.Status().Problem == uplink.NotAuthorised })
	time.Sleep(300 * time.Millisecond)
	if n := attempts.Load(); n != 1 {
		t.Errorf("%d attempts within 0.3 s, want 1: no fallback to MQTT 3.1, and patience", n)
	}
	if s := l.Status(); s.Text != "the broker does not let this terminal in: check user name, password and client id" {
		t.Errorf("text %q", s.Text)
	}
	password.Store(&right)
	eventually(t, 5*time.Second, "up with the right password", func() bool { return l.Status().Up })
}

func TestTroublesHaveNames(t *testing.T) {
	p := newParties(t)
	refusing := startRelay(t, "127.0.0.1:1")
	if err := refusing.Refuse(true); err != nil {
		t.Fatal(err)
	}
	notMQTT, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer notMQTT.Close()
	go func() {
		for {
			c, err := notMQTT.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	for _, c := range []struct {
		name, broker string
		want         uplink.Problem
	}{
		{"nothing listens", refusing.URL(), uplink.Refused},
		{"no such host", "mqtt://no-such-host.invalid", uplink.NoSuchHost},
		{"no TLS there", "mqtts://" + notMQTT.Addr().String(), uplink.TLSFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t, uplink.Config{Broker: c.broker, Terminal: p.terminal}, nil)
			eventually(t, 5*time.Second, "a problem", func() bool { return l.Status().Attempts > 0 })
			if s := l.Status(); s.Problem != c.want || s.Up {
				t.Errorf("got %q (%s), want %q", s.Problem, s.Text, c.want)
			}
		})
	}
}

func TestStateOverALife(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	relay := startRelay(t, broker.Addr())
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	l, err := uplink.New(uplink.Config{Broker: relay.URL(), Terminal: p.terminal, Timing: quick(), Session: 7, Version: "1.2"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	last := func() wire.State {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.states) == 0 {
			return wire.State{}
		}
		return d.states[len(d.states)-1]
	}
	eventually(t, 3*time.Second, "birth", func() bool { s := last(); return s.Online && s.Session == 8 && s.Version == "1.2" })
	relay.Cut()
	eventually(t, 3*time.Second, "second session", func() bool { s := last(); return s.Online && s.Session == 9 })
	d.mu.Lock()
	will := false
	for _, s := range d.states {
		will = will || !s.Online && s.Session == 8
	}
	d.mu.Unlock()
	if !will {
		t.Error("the first session's last will never came")
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "goodbye", func() bool { s := last(); return !s.Online && s.Session == 9 })
}

// Whatever is under way when the link stops, the wallet learns that it is gone.
func TestGoodbyeInTheMiddleOfAnEcho(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	timing := quick()
	timing.Echo = time.Millisecond
	for n := range uint64(10) {
		l, err := uplink.New(uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Timing: timing, Session: 10*n + 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		eventually(t, 3*time.Second, "up", func() bool { return l.Status().Up })
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "goodbye", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			last := d.states[len(d.states)-1]
			return !last.Online && last.Session == 10*n+2
		})
	}
}

func TestHandlerErrorLeavesTheEntry(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	d := newDesk(t, p.wallet)
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	b := newBox()
	b.add(p.advice(t, 1, "a"))
	var failing atomic.Bool
	failing.Store(true)
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Handle: func(ctx context.Context, m *wire.Message) error {
		if failing.Load() {
			return errors.New("disk full")
		}
		return b.handle(ctx, m)
	}}, b)
	// Unacknowledged messages would fill the broker's window: the connection is replaced.
	eventually(t, 3*time.Second, "up", func() bool { return l.Status().Up })
	first := l.Status().Session
	eventually(t, 10*time.Second, "a new connection", func() bool { s := l.Status(); return s.Up && s.Unhandled > 8 && s.Session > first })
	if b.left() != 1 {
		t.Fatal("the entry went away without its receipt being kept")
	}
	failing.Store(false)
	eventually(t, 10*time.Second, "done", func() bool { return b.left() == 0 })
}

// Stopping is bounded also while a connection is being made, and leaves none open.
func TestStopWhileConnecting(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	closed := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		c, err := listener.Accept()
		if err != nil {
			closed <- err
			return
		}
		defer c.Close()
		c.Read(make([]byte, 4096)) // CONNECT, and never a CONNACK
		cancel()
		c.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, err = c.Read(make([]byte, 1))
		closed <- err
	}()
	timing := quick()
	timing.Connect = time.Minute
	l, err := uplink.New(uplink.Config{Broker: "mqtt://" + listener.Addr().String(), Terminal: p.terminal, Timing: timing})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var timeout net.Error
	if err := <-closed; errors.As(err, &timeout) && timeout.Timeout() || time.Since(began) > time.Second {
		t.Errorf("the connection stays open: %v", err)
	}
}

// What the wallet says about other bytes is not taken for an answer, nor as a
// sign of life; nor is what is not the wallet's.
func TestWrongAnswersAreDropped(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	b := newBox()
	b.add(p.advice(t, 1, "a"))
	if err := broker.Serve(wire.UpFilter, func(topic string, payload []byte) []uplinktest.Publication {
		m, err := p.wallet.Open(topic, payload)
		if err != nil || m.Kind == wire.KindState {
			return nil
		}
		var d wire.Data = wire.EchoAnswer{Answer: wire.Answer{Answers: m.ID, AnswersSHA256: wire.DigestOf([]byte("other"))}}
		if a, ok := m.Data.(wire.Advice); ok {
			d = wire.Receipt{Answer: wire.Answer{Answers: m.ID, AnswersSHA256: wire.DigestOf([]byte("other"))},
				PaymentID: a.PaymentID, Sequence: 1, Result: wire.Accepted, State: wire.StateTaken, AmountMinor: 1, WalletRef: "W"}
		}
		raw, err := p.wallet.Seal(m.Terminal, wire.Header{ID: newID(), Time: time.Now()}, d)
		if err != nil {
			t.Error(err)
		}
		down := m.Terminal.DownTopic(d.Kind())
		return []uplinktest.Publication{{Topic: down, Payload: raw}, {Topic: down, Payload: []byte("nonsense")}}
	}); err != nil {
		t.Fatal(err)
	}
	var handled atomic.Int64
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Handle: func(context.Context, *wire.Message) error {
		handled.Add(1)
		return nil
	}}, b)
	eventually(t, 5*time.Second, "wrong answers are counted", func() bool { return l.Status().Dropped >= 8 })
	if n := handled.Load(); n != 0 {
		t.Errorf("%d wrong answers reached the handler", n)
	}
	if l.Connected() {
		t.Error("wrong answers count as signs of life")
	}
	if b.left() != 1 {
		t.Error("the entry left")
	}
}

// An entry's receipt must name its bytes also when this process has not sent it.
func TestReceiptBeforeTheFirstSend(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	b := newBox()
	first, second := p.advice(t, 1, "a"), p.advice(t, 2, "a") // the second waits behind the first
	b.add(first, second)
	var handled atomic.Int64
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Handle: func(context.Context, *wire.Message) error {
		handled.Add(1)
		return nil
	}}, b)
	eventually(t, 3*time.Second, "up", func() bool { return l.Status().Up })
	receipt := func(body []byte) {
		t.Helper()
		raw, err := p.wallet.Seal(address, wire.Header{ID: newID(), Time: time.Now()}, wire.Receipt{
			Answer: wire.Answer{Answers: second.ID, AnswersSHA256: wire.DigestOf(body)}, PaymentID: newID(), Sequence: 2,
			Result: wire.Accepted, State: wire.StateTaken, AmountMinor: 102, WalletRef: "W"})
		if err != nil {
			t.Fatal(err)
		}
		if err := broker.Publish(uplinktest.Publication{Topic: address.DownTopic(wire.KindReceipt), Payload: raw}); err != nil {
			t.Fatal(err)
		}
	}
	receipt([]byte("other bytes"))
	eventually(t, 3*time.Second, "dropped", func() bool { return l.Status().Dropped == 1 })
	receipt(second.Body)
	eventually(t, 3*time.Second, "handled", func() bool { return handled.Load() == 1 })
}
