package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"tapkeeper/uplink/wire"
)

// Config of a Link. Broker and Terminal are needed, the rest has defaults.
type Config struct {
	// Broker is mqtt://HOST[:1883] or mqtts://HOST[:8883], without credentials;
	// several with commas between them are the nodes of a cluster, tried in turn.
	Broker   string
	Terminal *wire.Terminal
	// ClientID is merchant/terminal by default, as the certificate's common name
	// is. A broker lets one connection per id live: bind it to the certificate there.
	ClientID string
	// Credentials gives user name and password, asked for at every connection.
	Credentials func() (user, password string)
	// Files are for mqtts; without any the system's roots are trusted, and no
	// certificate is shown.
	Files Files
	// TLS, if not nil, takes the place of Files. MinVersion is raised to 1.3.
	TLS *tls.Config
	// Handle takes every verified message from the wallet, one at a time and in
	// order of arrival unless Handlers says how many it may take at a time, in no
	// order. It returns nil once what matters is durable. After an
	// error the message is not acknowledged; it comes again with the resend.
	// What answers a question of Ask or an entry of Forward's outbox names its
	// exact bytes. An answer to anything else, say to what was asked before a
	// restart, has only its signature: compare AnswersSHA256 there.
	Handle   func(context.Context, *wire.Message) error
	Handlers int
	// Changed is told of every change of the link; it must not block.
	Changed func(Status)
	// Version of the program and the number of waiting entries, for the state
	// message.
	Version string
	Waiting func() int64
	// Applied is what the terminal holds of what the wallet sends unasked; nil says
	// nothing, and the wallet sends none.
	Applied func() *wire.Applied
	// Heads is what an echo tells of the journal, as an anchor; nil: nothing.
	Heads func() wire.Heads
	// Session is the number before the first connection's. It must rise over
	// restarts; the default is the clock in milliseconds.
	Session uint64
	Timing  Timing
	// Now, NewID and Seed (of the jitter) are for simulations. Deadlines and
	// delays do not use Now.
	Now   func() time.Time
	NewID func() wire.ID
	Seed  uint64
}

// Timing of a link; zero means the default in the comment.
type Timing struct {
	Connect     time.Duration // 10 s for dialling, TLS and CONNACK together
	KeepAlive   time.Duration // 4 s, whole seconds: a ping when idle for so long
	PingTimeout time.Duration // 3 s for its answer; with KeepAlive a dead peer shows within 9 s
	Write       time.Duration // 3 s for one write: a peer that reads nothing blocks it
	Ack         time.Duration // 10 s for a PUBACK; then the connection is replaced
	Echo        time.Duration // 20 s between echoes: two may be lost within Heard; from 2 s on while the wallet is not heard
	State       time.Duration // 60 s between state messages
	Heard       time.Duration // 60 s: how long the wallet counts as there (terminal.md)
	RetryFirst  time.Duration // 0.5 s before the second attempt to connect, then doubled
	RetryMax    time.Duration // 30 s
	ResendFirst time.Duration // 5 s before an entry is sent again, then doubled
	ResendMax   time.Duration // 5 min
	Renew       time.Duration // 1 min between looks at the files of TLS
}

// stopTime bounds a clean goodbye: publish the last state, then DISCONNECT.
const stopTime = time.Second

type broker struct {
	host string // host:port
	name string // host alone, for TLS
	tls  bool
}

// maxBrokers bounds the nodes of a cluster.
const maxBrokers = 16

// check tells which field is wrong.
func (c *Config) check() ([]broker, error) {
	b, err := parseBrokers(c.Broker)
	if err != nil {
		return b, err
	}
	if c.Terminal == nil {
		return b, errors.New("terminal: its keys are needed")
	}
	if (c.Files.Cert == "") != (c.Files.Key == "") {
		return b, errors.New("files: a certificate needs its key, and a key its certificate")
	}
	if c.Files != (Files{}) && !b[0].tls {
		return b, errors.New("files: certificates need an mqtts:// broker")
	}
	if k := c.Timing.KeepAlive; k != 0 && (k < time.Second || k%time.Second != 0) {
		return b, errors.New("timing: keep_alive: want whole seconds")
	}
	if c.Session > wire.MaxSequence/2 {
		return b, errors.New("session: too large")
	}
	return b, nil
}

func parseBrokers(raw string) ([]broker, error) {
	var all []broker
	for part := range strings.SplitSeq(raw, ",") {
		b, err := parseBroker(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	if len(all) > maxBrokers {
		return nil, fmt.Errorf("broker: more than %d", maxBrokers)
	}
	for _, b := range all {
		if b.tls != all[0].tls {
			return nil, errors.New("broker: all mqtts:// or all mqtt://")
		}
	}
	return all, nil
}

// parseBroker is here because the MQTT library takes a bad address in silence
// and complains later that there is no server.
func parseBroker(raw string) (broker, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the address, which may hold a password.
		return broker{}, errors.New("broker: not an address like mqtts://broker.example:8883")
	}
	b, port := broker{name: u.Hostname()}, ""
	switch u.Scheme {
	case "mqtt", "tcp":
		port = "1883"
	case "mqtts", "ssl", "tls":
		port, b.tls = "8883", true
	default:
		return broker{}, errors.New("broker: must begin with mqtts:// or mqtt://")
	}
	switch {
	case u.User != nil:
		return broker{}, errors.New("broker: user name and password do not belong in the address")
	case u.Hostname() == "":
		return broker{}, errors.New("broker: no host")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return broker{}, fmt.Errorf("broker: nothing may follow the host and port of %s", u.Host)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	b.host = net.JoinHostPort(b.name, port)
	return b, nil
}

func (c *Config) setDefaults() {
	a := c.Terminal.Address()
	if c.ClientID == "" {
		c.ClientID = a.Merchant + "/" + a.Terminal
	}
	if c.Handle == nil {
		c.Handle = func(context.Context, *wire.Message) error { return nil }
	}
	c.Handlers = max(c.Handlers, 1)
	if c.Changed == nil {
		c.Changed = func(Status) {}
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	if c.Waiting == nil {
		c.Waiting = func() int64 { return 0 }
	}
	if c.Applied == nil {
		c.Applied = func() *wire.Applied { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = randomID
	}
	if c.Session == 0 {
		c.Session = uint64(c.Now().UnixMilli())
	}
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano())
	}
	c.Timing.setDefaults()
}

func (t *Timing) setDefaults() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 10 * time.Second},
		{&t.KeepAlive, 4 * time.Second},
		{&t.PingTimeout, 3 * time.Second},
		{&t.Write, 3 * time.Second},
		{&t.Ack, 10 * time.Second},
		{&t.Echo, 20 * time.Second},
		{&t.State, time.Minute},
		{&t.Heard, time.Minute},
		{&t.RetryFirst, 500 * time.Millisecond},
		{&t.RetryMax, 30 * time.Second},
		{&t.ResendFirst, 5 * time.Second},
		{&t.ResendMax, 5 * time.Minute},
		{&t.Renew, time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
}
