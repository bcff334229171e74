// Package uplinktest has the far ends of a link: an MQTT broker in the process,
// a TCP relay that plays a bad network in front of one, and a real mosquitto.
//
// Broker and Relay serve tests and cmd/tapdemo alike and do not import testing.
// The broker keeps nothing over Stop, like the worst broker that one may meet:
// whoever relies on its memory loses messages.
package uplinktest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// serveQueue bounds what waits for a Serve handler; then publishers wait.
	serveQueue = 1024
	// maxPacket keeps a client from making the broker allocate.
	maxPacket = 256 << 10
	// closeTime bounds Stop.
	closeTime = 5 * time.Second
)

// Options of a Broker; all have a default.
type Options struct {
	// Addr is 127.0.0.1 on a free port by default. The port stays over Start.
	Addr string
	// Allow lets a client in; nil lets all in.
	Allow func(client, user, password string) bool
	// Permit lets a client write to or read a topic; nil permits all.
	Permit func(client, topic string, write bool) bool
	// Log gets the broker's own lines; nil drops them.
	Log *slog.Logger
}

// Publication is a message to publish.
type Publication struct {
	Topic   string
	Payload []byte
}

// Handler answers what arrives on a topic.
type Handler func(topic string, payload []byte) []Publication

// Broker is an in-process MQTT broker that can be stopped and started again.
type Broker struct {
	options Options

	mu      sync.Mutex
	addr    string
	running *run // nil while stopped
	serving []service
}

type service struct {
	filter string
	handle Handler
}

// run is the broker between a Start and a Stop.
type run struct {
	server  *mochi.Server
	stop    chan struct{}
	workers sync.WaitGroup
}

// NewBroker makes a broker and starts it.
func NewBroker(o Options) (*Broker, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	b := &Broker{options: o, addr: o.Addr}
	return b, b.Start()
}

// URL is the broker's address for uplink.Config.
func (b *Broker) URL() string { return "mqtt://" + b.Addr() }

// Addr is host and port.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addr
}

// Serve attaches a handler inside the broker, as a wallet backend without a
// connection of its own. Each handler gets its messages one at a time, in order;
// it stays attached over Stop and Start. What waits for it at Stop is lost.
func (b *Broker) Serve(filter string, h Handler) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := service{filter, h}
	if b.running != nil {
		if err := b.running.attach(len(b.serving), s); err != nil {
			return err
		}
	}
	b.serving = append(b.serving, s)
	return nil
}

// Publish publishes from inside the broker, QoS 1.
func (b *Broker) Publish(p Publication) error {
	b.mu.Lock()
	r := b.running
	b.mu.Unlock()
	if r == nil {
		return errors.New("publish: the broker is stopped")
	}
	return r.server.Publish(p.Topic, p.Payload, false, 1)
}

// Start starts a stopped broker, empty, on the same port.
func (b *Broker) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		return errors.New("start broker: it runs")
	}
	listener, err := net.Listen("tcp", b.addr)
	if err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	r := &run{stop: make(chan struct{})}
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = maxPacket
	r.server = mochi.New(&mochi.Options{Capabilities: capabilities, Logger: b.options.Log, InlineClient: true})
	start := func() error {
		if err := r.server.AddHook(&gate{server: r.server, allow: b.options.Allow, permit: b.options.Permit}, nil); err != nil {
			return err
		}
		for id, s := range b.serving {
			if err := r.attach(id, s); err != nil {
				return err
			}
		}
		if err := r.server.AddListener(listeners.NewNet("tcp", listener)); err != nil {
			return err
		}
		return r.server.Serve()
	}
	if err := start(); err != nil {
		listener.Close()
		r.close()
		return fmt.Errorf("start broker: %w", err)
	}
	b.addr, b.running = listener.Addr().String(), r
	return nil
}

// Stop ends every connection and forgets everything, as a killed broker does.
func (b *Broker) Stop() {
	b.mu.Lock()
	r := b.running
	b.running = nil
	b.mu.Unlock()
	if r != nil {
		r.close()
	}
}

func (r *run) close() {
	close(r.stop)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.server.Close() // its errors are those of sockets that are gone
		r.workers.Wait()
	}()
	select {
	case <-done:
	case <-time.After(closeTime):
	}
}

// attach subscribes a handler. The broker calls it in the publisher's goroutine,
// where publishing could wait for itself: a worker takes over.
func (r *run) attach(id int, s service) error {
	queue := make(chan Publication, serveQueue)
	err := r.server.Subscribe(s.filter, id+1, func(_ *mochi.Client, _ packets.Subscription, pk packets.Packet) {
		select {
		case queue <- Publication{pk.TopicName, bytes.Clone(pk.Payload)}:
		case <-r.stop:
		}
	})
	if err != nil {
		return fmt.Errorf("serve %s: %w", s.filter, err)
	}
	r.workers.Go(func() {
		for {
			select {
			case <-r.stop:
				return
			default:
			}
			select {
			case p := <-queue:
				for _, answer := range s.handle(p.Topic, p.Payload) {
					_ = r.server.Publish(answer.Topic, answer.Payload, false, 1)
				}
			case <-r.stop:
				return
			}
		}
	})
	return nil
}
