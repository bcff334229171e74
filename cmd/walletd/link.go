package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/rs/zerolog"

	"tapkeeper/wallet/backend"
)

const (
	qos = 1
	// queueMax bounds what waits for the workers; mosquitto sends 20 unacknowledged messages at most.
	queueMax = 1024
	// ackTime is how long an answer waits for the broker's PUBACK.
	ackTime = 10 * time.Second
	// keepAlive and pingTime notice a dead broker within 20 s.
	keepAlive = 15 * time.Second
	pingTime  = 5 * time.Second
	// goodbyeTime bounds the end of a connection.
	goodbyeTime = 500 * time.Millisecond
	// backoffMin and backoffMax bound the waits between connections; half is
	// chance, so that many wallets do not come back at once.
	backoffMin = 200 * time.Millisecond
	backoffMax = 30 * time.Second
	// steadyTime is how long a connection must live to begin again with backoffMin.
	steadyTime = time.Minute
	// subscribeRefused is the return code of SUBACK (MQTT 3.1.1, 3.9.3).
	subscribeRefused = 0x80
)

// handler is what the link needs of a wallet; an error that is not
// backend.ErrRejected means: later.
type handler interface {
	Handle(ctx context.Context, topic string, payload []byte) ([]backend.Publication, error)
}

// link carries messages between a broker and the handler.
type link struct {
	broker   broker
	clientID string
	filter   string // wire.UpFilter, or a share of it
	workers  int
	wallet   handler
	log      zerolog.Logger
	refused  refusals
	ready    func() // after each subscription
}

// run connects again and again until ctx ends. A message that was not answered
// on one connection is sent again by its terminal.
func (l *link) run(ctx context.Context) {
	wait := backoffMin
	for attempt := rand.IntN(maxNodes); ctx.Err() == nil; attempt++ {
		began := time.Now()
		err := l.connection(ctx, attempt)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRenew) {
			l.log.Info().Msg("the certificate was replaced")
			attempt-- // the same node is fine
			continue
		}
		if time.Since(began) > steadyTime {
			wait = backoffMin
		}
		pause := wait/2 + rand.N(wait/2)
		l.log.Warn().Err(err).Dur("again_in_ms", pause).Msg("no connection to the broker")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		wait = min(2*wait, backoffMax)
	}
}

// session is one connection: a new client each time, a clean session, and no
// reconnection by the library, whose tokens lie then.
type session struct {
	link    *link
	attempt int // which node
	client  mqtt.Client
	inbox   chan mqtt.Message
	lost    chan struct{} // closed when the connection is over
	once    sync.Once
	why     error // before lost is closed

	mu   sync.Mutex
	conn net.Conn // nil before it is dialled
}

// connection lives as long as one connection and says why it ended.
func (l *link) connection(ctx context.Context, attempt int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{link: l, attempt: attempt, inbox: make(chan mqtt.Message, queueMax), lost: make(chan struct{})}
	s.client = mqtt.NewClient(s.options(ctx))
	defer s.hangUp() // the library gives no way to leave a broker that accepts and says nothing
	defer s.client.Disconnect(uint(goodbyeTime.Milliseconds()))
	if err := s.wait(ctx, s.client.Connect(), connectTime+writeTime); err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel() // before the wait: the workers end by it
	for range l.workers {
		work.Go(func() { s.work(ctx) })
	}
	token := s.client.Subscribe(l.filter, qos, nil)
	if err := s.wait(ctx, token, ackTime); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if sub, ok := token.(*mqtt.SubscribeToken); ok && sub.Result()[l.filter] == subscribeRefused {
		return errors.New("the broker does not let the wallet read " + l.filter)
	}
	l.ready()
	return s.live(ctx)
}

// errRenew ends a connection whose certificate was replaced.
var errRenew = errors.New("the certificate was replaced")

// live waits for the end of the connection, and looks at the files of TLS.
func (s *session) live(ctx context.Context) error {
	files := s.link.broker.tls
	shown, _, _ := files.state()
	look := time.NewTicker(renewCheck)
	defer look.Stop()
	warned := time.Time{}
	for {
		if _, end, _ := files.state(); !end.IsZero() && time.Until(end) < warnAhead && time.Since(warned) > 24*time.Hour {
			warned = time.Now()
			s.link.log.Warn().Time("not_after", end).Msg("the wallet's certificate ends soon: replace its files")
		}
		select {
		case <-s.lost:
			return s.why
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
		if files == nil {
			continue
		}
		_, _ = files.load() // its failure is in the state
		stamp, _, reason := files.state()
		if reason != nil {
			s.link.log.Warn().Err(reason).Msg("the new certificate is not taken; the last good one stays in use")
		}
		if stamp != shown {
			return errRenew
		}
	}
}

func (s *session) options(ctx context.Context) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().
		AddBroker("tcp://" + s.link.broker.nodes[0].host). // for the library's list; dial decides
		SetClientID(s.link.clientID).
		SetProtocolVersion(4). // else a refusal is followed by a try with 3.1
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(connectTime).
		SetKeepAlive(keepAlive).
		SetPingTimeout(pingTime).
		SetWriteTimeout(writeTime).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.take(m) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.end(fmt.Errorf("connection lost: %w", err)) }).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return s.dial(ctx) })
}

// dial keeps the connection for hangUp.
func (s *session) dial(ctx context.Context) (net.Conn, error) {
	conn, err := s.link.broker.dial(ctx, s.attempt)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	if ctx.Err() != nil {
		s.hangUp()
	}
	return conn, nil
}

// hangUp ends the connection without a word.
func (s *session) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
}

// take runs in the library's own goroutine and must not wait there.
func (s *session) take(m mqtt.Message) {
	select {
	case s.inbox <- m:
	default:
		s.end(fmt.Errorf("%d messages wait for the workers", queueMax))
	}
}

func (s *session) work(ctx context.Context) {
	for {
		select {
		case m := <-s.inbox:
			s.answer(ctx, m)
		case <-s.lost:
			return
		case <-ctx.Done():
			return
		}
	}
}

// answer acknowledges a message after its answer was published. When the wallet
// has trouble of its own the connection ends: unacknowledged messages would
// stop the broker from sending more.
func (s *session) answer(ctx context.Context, m mqtt.Message) {
	out, err := s.link.wallet.Handle(ctx, m.Topic(), m.Payload())
	switch {
	case errors.Is(err, backend.ErrRejected):
		s.link.refused.note(s.link.log, err, m.Topic(), len(m.Payload()))
	case err != nil:
		s.end(fmt.Errorf("message on %s not handled: %w", m.Topic(), err))
		return
	}
	for _, p := range out {
		if err := s.wait(ctx, s.client.Publish(p.Topic, qos, false, p.Payload), ackTime); err != nil {
			s.end(fmt.Errorf("publish an answer: %w", err))
			return
		}
	}
	m.Ack()
}

// wait never trusts a token to complete: some do not.
func (s *session) wait(ctx context.Context, t mqtt.Token, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-s.lost:
		return s.why
	case <-timer.C:
		return errors.New("the broker does not answer")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end marks the connection as over, once.
func (s *session) end(why error) {
	s.once.Do(func() {
		s.why = why
		close(s.lost)
	})
}
