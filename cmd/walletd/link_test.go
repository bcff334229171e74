package main

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/rs/zerolog"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
)

// delivery is a message that notes its acknowledgement.
type delivery struct {
	mqtt.Message
	acked bool
}

func (d *delivery) Topic() string   { return "t" }
func (d *delivery) Payload() []byte { return nil }
func (d *delivery) Ack()            { d.acked = true }

type answerer func() ([]backend.Publication, error)

func (a answerer) Handle(context.Context, string, []byte) ([]backend.Publication, error) { return a() }

// Only what was answered, or what nobody can answer, is acknowledged.
func TestAcknowledgement(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		acked bool
		ended bool
	}{
		"handled":  {nil, true, false},
		"rejected": {backend.ErrRejected, true, false},
		"trouble":  {errors.New("disk"), false, true},
	} {
		s := &session{lost: make(chan struct{}), link: &link{log: zerolog.New(io.Discard),
			wallet: answerer(func() ([]backend.Publication, error) { return nil, c.err })}}
		d := &delivery{}
		s.answer(t.Context(), d)
		ended := false
		select {
		case <-s.lost:
			ended = true
		default:
		}
		if d.acked != c.acked || ended != c.ended {
			t.Errorf("%s: acknowledged %v, connection ended %v", name, d.acked, ended)
		}
	}
}

// What the library must not do by itself; each of these was seen to lose or reorder messages.
func TestLibraryKeepsItsHandsOff(t *testing.T) {
	s := &session{link: &link{broker: broker{nodes: []node{{"b:1", "b"}}}, clientID: "c", filter: wire.UpFilter}}
	o := s.options(t.Context())
	if o.AutoReconnect || o.ConnectRetry || !o.CleanSession || !o.AutoAckDisabled || o.ProtocolVersion != 4 || o.WriteTimeout == 0 {
		t.Errorf("options: %+v", o)
	}
}

// A packet is refused by its announced size, before anybody makes room for it.
func TestGuardedConnRefusesLargePackets(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		bad   bool
	}{
		"small packets":   {[]byte{0xD0, 0x00, 0x30, 0x03, 1, 2, 3, 0xD0, 0x00}, false},
		"256 MiB":         {[]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F}, true},
		"just above":      {[]byte{0x30, 0x81, 0x84, 0x04}, true},  // 66049
		"just below":      {[]byte{0x30, 0x80, 0x84, 0x04}, false}, // 66048
		"length for ever": {[]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x80}, true},
	} {
		near, far := net.Pipe()
		go func() {
			for _, b := range c.bytes { // one at a time: a size must survive being cut
				far.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := far.Write([]byte{b}); err != nil {
					break
				}
			}
			far.Close()
		}()
		_, err := io.ReadAll(&guardedConn{Conn: near})
		if errors.Is(err, errPacket) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
		near.Close()
	}
}

// A broker that is away is tried again, more and more slowly, and stopping is quick.
func TestRunStopsWhileTheBrokerIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	host := l.Addr().String()
	tries := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			tries <- struct{}{}
		}
	}()
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		(&link{broker: broker{nodes: []node{{host, ""}}}, clientID: "c", filter: wire.UpFilter, workers: 1, log: zerolog.New(io.Discard), ready: func() {}}).run(ctx)
		close(done)
	}()
	for range 2 {
		select {
		case <-tries:
		case <-time.After(patience):
			t.Fatal("no second try")
		}
	}
	stop()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("run does not stop")
	}
}
