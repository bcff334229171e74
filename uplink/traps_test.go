package uplink_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

// What the MQTT library does when it is left to itself: each test here fails when
// the guard that it names is taken out.

// script is a broker that speaks MQTT 3.1.1 as far as it is told to.
type script struct {
	t       *testing.T
	refuse  byte                                    // return code of CONNACK
	publish func(p *packets.PublishPacket, c *talk) // nil: PUBACK for all
	puback  func(p *packets.PubackPacket)           // for what was sent to the link
	ready   func(c *talk)                           // after the first echo
	mu      sync.Mutex
	connect []*packets.ConnectPacket
}

// talk is one connection of a script.
type talk struct {
	net.Conn
	mu sync.Mutex
}

func (c *talk) send(p packets.ControlPacket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = p.Write(c.Conn) // the other end may be gone
}

func (c *talk) ack(p *packets.PublishPacket) {
	a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	a.MessageID = p.MessageID
	c.send(a)
}

func (s *script) start() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				s.serve(&talk{Conn: c})
			})
		}
	})
	s.t.Cleanup(func() { l.Close(); all.Wait() })
	return "mqtt://" + l.Addr().String()
}

func (s *script) serve(c *talk) {
	for {
		cp, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		switch p := cp.(type) {
		case *packets.ConnectPacket:
			s.mu.Lock()
			s.connect = append(s.connect, p)
			s.mu.Unlock()
			a := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
			a.ReturnCode = s.refuse
			c.send(a)
			if s.refuse != 0 {
				return
			}
		case *packets.SubscribePacket:
			a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			a.MessageID, a.ReturnCodes = p.MessageID, []byte{1}
			c.send(a)
		case *packets.PublishPacket:
			own := strings.HasSuffix(p.TopicName, "/state") || strings.HasSuffix(p.TopicName, "/echo")
			if s.publish == nil || own {
				c.ack(p)
			} else {
				s.publish(p, c)
			}
			if strings.HasSuffix(p.TopicName, "/echo") && s.ready != nil {
				s.ready(c)
			}
		case *packets.PubackPacket:
			if s.puback != nil {
				s.puback(p)
			}
		case *packets.PingreqPacket:
			c.send(packets.NewControlPacket(packets.Pingresp))
		case *packets.DisconnectPacket:
			return
		}
	}
}

// Guard: SetAutoReconnect(false), a client per connection. The library's tokens
// report success for what was never acknowledged when it reconnects by itself.
func TestNoPubackIsNoSuccess(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	s := &script{t: t, publish: func(_ *packets.PublishPacket, c *talk) { c.Close() }}
	l := start(t, uplink.Config{Broker: s.start(), Terminal: p.terminal}, nil)
	for range 5 {
		eventually(t, 5*time.Second, "up", func() bool { return l.Status().Up })
		ctx, cancel := contextFor(t, 5*time.Second)
		if err := l.Send(ctx, wire.KindQuery, []byte("x")); err == nil {
			t.Error("sent, says the link; the broker acknowledged nothing")
		}
		cancel()
	}
}

// Guard: wait never trusts a token to complete. One whose PUBACK never comes is
// given up within Timing.Ack, and the connection with it.
func TestMissingPubackIsBounded(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	s := &script{t: t, publish: func(*packets.PublishPacket, *talk) {}}
	l := start(t, uplink.Config{Broker: s.start(), Terminal: p.terminal}, nil)
	eventually(t, 5*time.Second, "up", func() bool { return l.Status().Up })
	session, began := l.Status().Session, time.Now()
	if err := l.Send(t.Context(), wire.KindQuery, []byte("x")); err == nil || time.Since(began) > 4*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	eventually(t, 5*time.Second, "replaced", func() bool { s := l.Status(); return s.Up && s.Session > session })
}

// Guards: SetWriteTimeout, the deadline of guardedConn. A peer that reads nothing
// blocks a write, and behind it the library's own ping, for ever.
func TestPeerThatReadsNothingIsLeft(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	done := make(chan struct{})
	s := &script{t: t, publish: func(*packets.PublishPacket, *talk) { <-done }}
	timing := quick()
	timing.Ack, timing.Echo, timing.State = time.Minute, time.Minute, time.Minute
	url := s.start()
	t.Cleanup(func() { close(done) })
	l := start(t, uplink.Config{Broker: url, Terminal: p.terminal, Timing: timing}, nil)
	eventually(t, 5*time.Second, "up", func() bool { return l.Status().Up })
	began := time.Now()
	for range 200 { // 12 MB: more than the kernel keeps
		go func() { _ = l.Send(t.Context(), wire.KindQuery, make([]byte, 60<<10)) }()
	}
	eventually(t, 10*time.Second, "left", func() bool { return !l.Status().Up })
	t.Logf("left after %v", time.Since(began))
}

// Guard: SetProtocolVersion(4). Else a refusal is followed by a CONNECT of MQTT
// 3.1, and a wrong password counts twice at the broker. Guards: SetCleanSession,
// SetBinaryWill with QoS 1 and retained.
func TestWhatConnectSays(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	s := &script{t: t, refuse: packets.ErrRefusedBadUsernameOrPassword}
	start(t, uplink.Config{Broker: s.start(), Terminal: p.terminal}, nil)
	connects := func() []*packets.ConnectPacket {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Clone(s.connect)
	}
	eventually(t, 5*time.Second, "three attempts", func() bool { return len(connects()) >= 3 })
	for i, c := range connects() {
		if c.ProtocolVersion != 4 || !c.CleanSession || !c.WillFlag || !c.WillRetain || c.WillQos != 1 {
			t.Errorf("CONNECT %d: %v", i, c)
		}
		if c.ClientIdentifier != terminalName {
			t.Errorf("client id %q, want the certificate's name %q", c.ClientIdentifier, terminalName)
		}
	}
}

// answers are messages of the wallet that answer nothing open, for the handler alone.
func (p parties) answers(t *testing.T, n int) []*packets.PublishPacket {
	t.Helper()
	var out []*packets.PublishPacket
	for i := range n {
		a := wire.Status{Answer: wire.Answer{Answers: newID(), AnswersSHA256: wire.DigestOf([]byte("x"))}, PaymentID: newID(), State: wire.StateUnknown}
		raw, err := p.wallet.Seal(address, wire.Header{ID: newID(), Time: time.Now()}, a)
		if err != nil {
			t.Fatal(err)
		}
		pub := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		pub.Qos, pub.MessageID, pub.TopicName, pub.Payload = 1, uint16(i+1), address.DownTopic(wire.KindStatus), raw
		out = append(out, pub)
	}
	return out
}

// Guard: take only hands over. A handler that publishes and waits, run by the
// library in order, blocks the very PUBACK that it waits for: a burst deadlocks.
func TestHandlerMayPublishInABurst(t *testing.T) {
	const burst = 60
	p := newParties(t)
	noLeaks(t)
	var once sync.Once
	s := &script{t: t, ready: func(c *talk) {
		once.Do(func() {
			for _, m := range p.answers(t, burst) {
				c.send(m)
			}
		})
	}}
	var l *uplink.Link
	var done atomic.Int32
	up := make(chan struct{})
	cfg := uplink.Config{Broker: s.start(), Terminal: p.terminal, Handle: func(ctx context.Context, m *wire.Message) error {
		<-up
		if m.Kind == wire.KindStatus {
			if err := l.Send(ctx, wire.KindQuery, []byte("x")); err != nil {
				return err
			}
			done.Add(1)
		}
		return nil
	}}
	l = start(t, cfg, nil)
	close(up)
	eventually(t, 5*time.Second, "all handled", func() bool { return done.Load() == burst })
	if s := l.Status(); s.Attempts > 0 || s.Unhandled > 0 {
		t.Errorf("%+v", s)
	}
}

// Guard: SetAutoAckDisabled. What is acknowledged has been handled.
func TestAcknowledgedAfterTheHandler(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	var once sync.Once
	acked := make(chan uint16, 10)
	s := &script{t: t,
		ready:  func(c *talk) { once.Do(func() { c.send(p.answers(t, 1)[0]) }) },
		puback: func(a *packets.PubackPacket) { acked <- a.MessageID },
	}
	entered, release := make(chan struct{}), make(chan struct{})
	start(t, uplink.Config{Broker: s.start(), Terminal: p.terminal, Handle: func(context.Context, *wire.Message) error {
		close(entered)
		<-release
		return nil
	}}, nil)
	<-entered
	select {
	case <-acked:
		t.Error("acknowledged before it was handled")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	select {
	case id := <-acked:
		if id != 1 {
			t.Errorf("acknowledged %d", id)
		}
	case <-time.After(5 * time.Second):
		t.Error("never acknowledged")
	}
}

// Guard: SetCustomOpenConnectionFn. The library takes proxies from the
// environment, which it reads once in a process: the test runs in one of its own.
func TestNoProxyFromTheEnvironment(t *testing.T) {
	const inside = "TAPKEEPER_TEST_PROXY"
	if os.Getenv(inside) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inside+"=1", "ALL_PROXY=socks5://127.0.0.1:1", "all_proxy=socks5://127.0.0.1:1", "NO_PROXY=", "no_proxy=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	p := newParties(t)
	s := &script{t: t}
	l := start(t, uplink.Config{Broker: s.start(), Terminal: p.terminal}, nil)
	if s := verdict(t, l); !s.Up {
		t.Errorf("%q %q", s.Problem, s.Text)
	}
}

// Guard: set_tcp_nodelay in docs/brokers/mosquitto.conf. Without it a QoS 1 round
// trip takes 44 ms.
func TestMosquittoRoundTripIsNotDelayed(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	p.startDesk(t, m, a)
	l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal, Files: filesOf(a, a.Issue(terminalName, 0))}, nil)
	eventually(t, 5*time.Second, "connected", l.Connected)
	var all []time.Duration
	for range 15 {
		id := newID()
		jws, err := p.terminal.Seal(wire.Header{ID: id, Time: time.Now()}, wire.Query{PaymentID: newID()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := contextFor(t, 5*time.Second)
		began := time.Now()
		if _, err := l.Ask(ctx, wire.KindQuery, id, jws); err != nil {
			t.Fatal(err)
		}
		all = append(all, time.Since(began))
		cancel()
	}
	slices.Sort(all)
	// The third quickest: a busy machine delays many, Nagle's algorithm all but the first.
	if quick := all[2]; quick > 30*time.Millisecond {
		t.Errorf("even quick questions took %v: %v", quick, all)
	}
}

// SyncNow ends every wait: the one before the next connection, and each entry's.
func TestSyncNow(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	d := newDesk(t, p.wallet)
	d.silent = func(m *wire.Message) bool { return m.Kind == wire.KindAdvice }
	if err := broker.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	broker.Stop()
	timing := quick()
	timing.RetryFirst, timing.RetryMax = time.Hour, time.Hour
	timing.ResendFirst, timing.ResendMax = time.Hour, time.Hour
	b := newBox()
	e := p.advice(t, 1, "a")
	b.add(e)
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Timing: timing}, b)
	eventually(t, 5*time.Second, "a failure", func() bool { return l.Status().Attempts > 0 })
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	l.SyncNow()
	eventually(t, 5*time.Second, "sent", func() bool { return d.count(e.ID) == 1 })
	d.mu.Lock()
	d.silent = nil
	d.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	if d.count(e.ID) != 1 || b.left() != 1 {
		t.Fatalf("sent %d times, %d left", d.count(e.ID), b.left())
	}
	l.SyncNow()
	eventually(t, 5*time.Second, "sent again and done", func() bool { return b.left() == 0 })
}
