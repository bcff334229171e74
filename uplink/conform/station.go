package conform

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/wire"
)

const (
	qos = 1
	// brokerTime bounds what is asked of the broker itself.
	brokerTime = 10 * time.Second
	// refused is the return code of SUBACK (MQTT 3.1.1, 3.9.3).
	refused = 0x80
)

// station is one terminal of the kit on the broker: it publishes what it is told
// to, and keeps every answer.
type station struct {
	identity
	wire *wire.Terminal
	cfg  *Config

	mu      sync.Mutex
	client  mqtt.Client
	answers map[wire.ID][]arrival // by the message that they answer
	asked   map[wire.ID]bool
	strays  []string      // what a terminal would have dropped, in words
	changed chan struct{} // closed and replaced at each arrival
}

// arrival is a verified answer as it came.
type arrival struct {
	topic   string
	raw     []byte
	message *wire.Message
	qos     byte
}

func newStation(cfg *Config, id identity) (*station, error) {
	signing, err := wire.NewSigningKey(id.key)
	if err != nil {
		return nil, err
	}
	s := &station{identity: id, cfg: cfg, answers: map[wire.ID][]arrival{}, asked: map[wire.ID]bool{}, changed: make(chan struct{})}
	s.wire, err = wire.NewTerminal(wire.TerminalKeys{Address: id.address, Signing: signing,
		WalletSigning: []ed25519.PublicKey{cfg.Kit.signing}, WalletEncryption: cfg.Kit.encryption})
	return s, err
}

// connect opens a connection of its own, as a terminal does after a start.
func (s *station) connect() error {
	u, err := url.Parse(s.cfg.Broker)
	if err != nil || u.Host == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts" {
		return fmt.Errorf("broker %q: want mqtt://HOST:PORT or mqtts://HOST:PORT", s.cfg.Broker)
	}
	o := mqtt.NewClientOptions().SetClientID(s.address.Merchant + ":" + s.address.Terminal).
		SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(brokerTime).
		SetWriteTimeout(brokerTime).SetUsername(s.cfg.User).SetPassword(s.cfg.Password).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.take(m) })
	if u.Scheme == "mqtts" {
		c := &tls.Config{}
		if s.cfg.TLS != nil {
			c = s.cfg.TLS.Clone()
		}
		c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
		if s.cert != nil {
			c.Certificates = []tls.Certificate{*s.cert}
		}
		o.AddBroker("ssl://" + u.Host).SetTLSConfig(c)
	} else {
		o.AddBroker("tcp://" + u.Host)
	}
	client := mqtt.NewClient(o)
	if err := wait(client.Connect()); err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	filter := s.address.DownFilter()
	token := client.Subscribe(filter, qos, nil)
	if err := wait(token); err != nil {
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	if token.(*mqtt.SubscribeToken).Result()[filter] == refused {
		return fmt.Errorf("the broker does not let the suite read %s", filter)
	}
	s.mu.Lock()
	s.client = client
	s.mu.Unlock()
	return nil
}

func wait(t mqtt.Token) error {
	if !t.WaitTimeout(brokerTime) {
		return errors.New("the broker does not answer")
	}
	return t.Error()
}

func (s *station) disconnect() {
	s.mu.Lock()
	client := s.client
	s.client = nil
	s.mu.Unlock()
	if client != nil {
		client.Disconnect(250)
	}
}

// take sorts a publication into answers and strays.
func (s *station) take(m mqtt.Message) {
	if s.cfg.Seen != nil {
		s.cfg.Seen(m.Topic(), m.Payload())
	}
	messages, err := wire.Split(m.Topic(), m.Payload())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.strays = append(s.strays, fmt.Sprintf("on %s: %v", m.Topic(), err))
	}
	if m.Retained() {
		s.strays = append(s.strays, fmt.Sprintf("on %s: retained, so that it comes again to every new connection", m.Topic()))
	}
	for _, raw := range messages {
		opened, err := s.wire.Open(m.Topic(), raw)
		if err != nil {
			s.strays = append(s.strays, fmt.Sprintf("on %s: %v", m.Topic(), err))
			continue
		}
		a, ok := wire.Answers(opened.Data)
		if !ok {
			continue // a hotlist, a command or a bundle: the wallet may send them
		}
		if !s.asked[a.Answers] {
			s.strays = append(s.strays, fmt.Sprintf("on %s: an answer to %s, which this terminal has not sent", m.Topic(), a.Answers))
		}
		s.answers[a.Answers] = append(s.answers[a.Answers], arrival{m.Topic(), raw, opened, m.Qos()})
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// publish sends bytes; the ids are those of the messages in it.
func (s *station) publish(topic string, raw []byte, retained bool, ids ...wire.ID) error {
	s.mu.Lock()
	client := s.client
	for _, id := range ids {
		s.asked[id] = true
	}
	s.mu.Unlock()
	if client == nil {
		return errors.New("not connected")
	}
	if err := wait(client.Publish(topic, qos, retained, raw)); err != nil {
		return fmt.Errorf("publish on %s: %w", topic, err)
	}
	return nil
}

// count is how many answers to a message have come.
func (s *station) count(id wire.ID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answers[id])
}

// await waits for the answer to id behind the first n; false when none came.
func (s *station) await(ctx context.Context, id wire.ID, n int, limit time.Duration) (arrival, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		s.mu.Lock()
		list, changed := s.answers[id], s.changed
		s.mu.Unlock()
		if len(list) > n {
			return list[n], true
		}
		select {
		case <-changed:
		case <-timer.C:
			return arrival{}, false
		case <-ctx.Done():
			return arrival{}, false
		}
	}
}

// takeStrays gives the strays so far and forgets them.
func (s *station) takeStrays() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	strays := slices.Clone(s.strays)
	s.strays = nil
	return strays
}
