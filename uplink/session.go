package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/wire"
)

const (
	qos = 1
	// inboundQueue bounds the messages that wait for the handler. More are
	// dropped unacknowledged: the resend brings their answers again.
	inboundQueue = 128
	// maxUnhandled is how many messages may stay unacknowledged before the
	// connection is replaced: a broker sends only so many more (mosquitto: 20).
	maxUnhandled = 8
	// causeTime is how long a failed token waits for the reason of its failure.
	causeTime = 200 * time.Millisecond
	// subscribeRefused is the return code of SUBACK (MQTT 3.1.1, 3.9.3).
	subscribeRefused = 0x80
)

// session is one connection: a new client each time, clean session, no
// reconnection by the library, whose tokens lie then.
type session struct {
	link    *Link
	broker  broker
	number  uint64
	since   time.Time
	shown   *credential // nil without files
	client  mqtt.Client
	inbound chan mqtt.Message
	lost    chan struct{} // closed when the connection is over
	once    sync.Once
	why     error // before lost is closed
	worker  sync.WaitGroup
	stop    context.CancelFunc // of the worker

	unhandled atomic.Int32

	saidGoodbye bool // by serve, read by close after it: no will is wanted

	mu   sync.Mutex
	conn net.Conn // nil before it is dialled
}

// openSession connects, subscribes and announces the terminal, in this order:
// once the wallet sees the birth, its answers reach us.
func openSession(ctx context.Context, l *Link, number uint64) (*session, error) {
	s := &session{
		link: l, broker: l.brokers[l.next], number: number, since: l.cfg.Now(),
		inbound: make(chan mqtt.Message, inboundQueue),
		lost:    make(chan struct{}),
	}
	will, err := s.state(false)
	if err != nil {
		return nil, err
	}
	dialError := make(chan error, 1)
	s.client = mqtt.NewClient(s.options(ctx, will, dialError))
	connect := s.client.Connect()
	if err := s.wait(ctx, connect, l.cfg.Timing.Connect+l.cfg.Timing.Write); err != nil {
		s.hangUp()
		s.client.Disconnect(0)
		select {
		case err = <-dialError: // the library flattens it into text
		default:
			err = s.refusedAfterTLS(err)
		}
		return nil, err
	}
	work, stop := context.WithCancel(ctx)
	s.stop = stop
	for range l.cfg.Handlers {
		s.worker.Go(func() { s.work(work) })
	}
	if err := s.announce(ctx); err != nil {
		err = s.cause(err)
		s.close()
		return nil, err
	}
	return s, nil
}

// refusedAfterTLS: in TLS 1.3 a broker refuses the client's certificate after the
// handshake, and its alert may be lost in the reset that follows.
func (s *session) refusedAfterTLS(err error) error {
	if s.broker.tls && troubleOf(err).Problem == Lost {
		return &Trouble{Problem: TLSFailed, Err: err,
			Text: "the broker hung up right after TLS: check this terminal's certificate and client id"}
	}
	return err
}

func (s *session) options(ctx context.Context, will []byte, dialError chan<- error) *mqtt.ClientOptions {
	cfg := &s.link.cfg
	topic := cfg.Terminal.Address().UpTopic(wire.KindState)
	o := mqtt.NewClientOptions().
		AddBroker("tcp://"+s.broker.host). // for the library's list; dial decides
		SetClientID(cfg.ClientID).
		SetProtocolVersion(4). // else a refusal is followed by a try with 3.1
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(cfg.Timing.Connect).
		SetKeepAlive(cfg.Timing.KeepAlive).
		SetPingTimeout(cfg.Timing.PingTimeout).
		SetWriteTimeout(cfg.Timing.Write).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetBinaryWill(topic, will, qos, true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.take(m) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.end(namePing(err)) }).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			conn, err := s.dial(ctx)
			if err != nil {
				dialError <- err
			}
			return conn, err
		})
	if cfg.Credentials != nil {
		user, password := cfg.Credentials()
		o.SetUsername(user).SetPassword(password)
	}
	return o
}

// dial remembers the connection: the library gives no way to leave one that
// waits for CONNACK.
func (s *session) dial(ctx context.Context) (net.Conn, error) {
	secure := s.link.cfg.TLS
	if s.link.identity != nil {
		shown, err := s.link.identity.load()
		if err != nil {
			return nil, err
		}
		s.shown, secure = shown, shown.config
	}
	conn, err := dial(ctx, s.broker, &s.link.cfg, secure)
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

func (s *session) announce(ctx context.Context) error {
	cfg := &s.link.cfg
	filter := cfg.Terminal.Address().DownFilter()
	token := s.client.Subscribe(filter, qos, nil)
	if err := s.wait(ctx, token, cfg.Timing.Ack); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if token.(*mqtt.SubscribeToken).Result()[filter] == subscribeRefused {
		return &Trouble{Problem: NotAuthorised, Text: "the broker does not let this terminal read its answers (" + filter + ")"}
	}
	return s.publishState(ctx, true)
}

// publish sends and waits for the PUBACK. Without one the connection is over:
// what was sent on it is sent again on the next.
func (s *session) publish(ctx context.Context, topic string, body []byte, retained bool) error {
	err := s.wait(ctx, s.client.Publish(topic, qos, retained, body), s.link.cfg.Timing.Ack)
	if errors.Is(err, errNoAck) {
		s.end(err)
	}
	return err
}

var errNoAck error = &Trouble{Problem: BadProtocol, Text: "the broker does not acknowledge what it is sent"}

// wait never trusts a token to complete: some do not.
func (s *session) wait(ctx context.Context, t mqtt.Token, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-s.lost:
		return fmt.Errorf("wait for the broker: %w", s.why)
	case <-timer.C:
		return errNoAck
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cause prefers why the connection ended to what a token of it says: the library
// completes tokens with a text of its own shortly before it tells of the loss.
func (s *session) cause(err error) error {
	timer := time.NewTimer(causeTime)
	defer timer.Stop()
	select {
	case <-s.lost:
		return s.why
	case <-timer.C:
		return err
	}
}

// namePing gives the one loss that the library tells in words only its problem.
func namePing(err error) error {
	if strings.HasPrefix(err.Error(), "pingresp not received") {
		return &Trouble{Problem: TimedOut, Err: err,
			Text: "the broker stopped answering: the network is gone, or swallows the packets"}
	}
	return err
}

// end marks the connection as over, once.
func (s *session) end(why error) {
	s.once.Do(func() {
		s.why = why
		close(s.lost)
	})
}

func (s *session) over() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

// close ends the connection and waits for the worker.
func (s *session) close() {
	s.end(net.ErrClosed)
	s.stop()
	s.worker.Wait()
	if !s.saidGoodbye {
		s.hangUp() // so that the broker sends the will
	}
	s.client.Disconnect(uint(stopTime.Milliseconds()))
	s.hangUp()
}
