package uplink_test

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/uplinktest/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// guarded is a broker with the rules of docs/brokers.
type guarded struct {
	terminals, wallets string // host and port
	// firstID is the client id of the first terminal: its certificate's name where
	// the broker binds the two, else one that nobody else knows (docs/operations.md).
	firstID string
}

// ear is a bare client that keeps what it is sent.
type ear struct {
	mqtt.Client
	mu     sync.Mutex
	topics []string
	lost   bool
}

func (e *ear) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.topics...)
}

func (e *ear) gone() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lost
}

// attach connects a bare client; while a cluster elects, it asks again.
func attach(t *testing.T, addr, id string, c *tls.Config) (*ear, error) {
	t.Helper()
	var err error
	for range 40 {
		e := &ear{}
		e.Client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + addr).SetClientID(id).SetProtocolVersion(4).
			SetTLSConfig(c).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second).
			SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.topics = append(e.topics, m.Topic())
			}).
			SetConnectionLostHandler(func(mqtt.Client, error) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.lost = true
			}))
		tok := e.Connect()
		if !tok.WaitTimeout(10 * time.Second) {
			return nil, errors.New("no answer to CONNECT")
		}
		if err = tok.Error(); err == nil {
			t.Cleanup(func() { e.Disconnect(50) })
			return e, nil
		}
		if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "EOF") {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}

func mustAttach(t *testing.T, addr, id string, c *tls.Config) *ear {
	t.Helper()
	e, err := attach(t, addr, id, c)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return e
}

func TestMosquittoKeepsStrangersOut(t *testing.T) {
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	strangers(t, a, guarded{m.Addr(), m.WalletAddr(), "noodle-bar/till-1"})
}

func TestNATSKeepsStrangersOut(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	a := uplinktest.NewAuthority(t)
	c := cluster.Start(t, a, "noodle-bar/till-1", "noodle-bar/till-2", "tea-house/till-1")
	strangers(t, a, guarded{c.Nodes[0].Addr(), c.Nodes[1].Addr(), rand.Text()})
}

// strangers: what the broker's rules must refuse, from the outside in.
func strangers(t *testing.T, a *uplinktest.Authority, g guarded) {
	first := a.Client(a.Issue("noodle-bar/till-1", 0))
	second := a.Client(a.Issue("noodle-bar/till-2", 0))
	other := a.Client(a.Issue("tea-house/till-1", 0))
	wallet := mustAttach(t, g.wallets, "wallet-1", a.Client(a.Issue("wallet", 0)))
	subscribe(wallet, "tapkeeper/v1/+/+/up/+")
	t.Run("transport", func(t *testing.T) { strangersTransport(t, a, g, first) })
	t.Run("topics", func(t *testing.T) {
		one := mustAttach(t, g.terminals, "noodle-bar/till-1", first)
		for _, topic := range []string{
			"tapkeeper/v1/noodle-bar/till-2/up/advice", // another terminal's
			"tapkeeper/v1/tea-house/till-1/up/advice",  // another merchant's
			"tapkeeper/v1/noodle-bar/till-1/down/receipt",
			"tapkeeper/v1/noodle-bar/till-2/down/receipt",
			"$SYS/x", "elsewhere",
		} {
			one.Publish(topic, 1, false, "x").WaitTimeout(2 * time.Second)
			if !one.IsConnectionOpen() { // a broker may hang up on who is not allowed
				one = mustAttach(t, g.terminals, "noodle-bar/till-1", first)
			}
		}
		one.Publish("tapkeeper/v1/noodle-bar/till-1/up/echo", 1, false, "x").WaitTimeout(2 * time.Second)
		eventually(t, 10*time.Second, "the own message", func() bool { return len(wallet.heard()) > 0 })
		time.Sleep(200 * time.Millisecond)
		if got := wallet.heard(); len(got) != 1 || got[0] != "tapkeeper/v1/noodle-bar/till-1/up/echo" {
			t.Errorf("the wallet got %q", got)
		}
	})
	t.Run("ears", func(t *testing.T) {
		spy := mustAttach(t, g.terminals, "noodle-bar/till-2", second)
		abroad := mustAttach(t, g.terminals, "tea-house/till-1", other)
		for _, e := range []*ear{spy, abroad} {
			for _, filter := range []string{"#", "tapkeeper/v1/+/+/down/+", "tapkeeper/v1/noodle-bar/till-1/down/+", "tapkeeper/v1/+/+/up/+"} {
				subscribe(e, filter)
			}
		}
		one := mustAttach(t, g.terminals, "noodle-bar/till-1", first)
		subscribe(one, "tapkeeper/v1/noodle-bar/till-1/down/+")
		one.Publish("tapkeeper/v1/noodle-bar/till-1/up/echo", 1, false, "x").WaitTimeout(2 * time.Second)
		wallet.Publish("tapkeeper/v1/noodle-bar/till-1/down/receipt", 1, false, "x").WaitTimeout(2 * time.Second)
		eventually(t, 10*time.Second, "the receipt", func() bool { return len(one.heard()) == 1 })
		time.Sleep(200 * time.Millisecond)
		if a, b := spy.heard(), abroad.heard(); len(a)+len(b) > 0 {
			t.Errorf("others heard %q and %q", a, b)
		}
	})
	t.Run("client id", func(t *testing.T) {
		one := mustAttach(t, g.terminals, g.firstID, first)
		thief := mustAttach(t, g.terminals, "noodle-bar/till-1", second) // a good certificate, another's client id
		time.Sleep(300 * time.Millisecond)
		if one.gone() {
			t.Error("another certificate took the connection over")
		}
		// Whatever became of the connection: the rights are the certificate's.
		before := len(wallet.heard())
		thief.Publish("tapkeeper/v1/noodle-bar/till-1/up/advice", 1, false, "x").WaitTimeout(time.Second)
		time.Sleep(200 * time.Millisecond)
		if got := wallet.heard()[before:]; len(got) > 0 {
			t.Errorf("under another's client id: %q", got)
		}
	})
}

// strangersTransport: who does not get as far as MQTT.
func strangersTransport(t *testing.T, a *uplinktest.Authority, g guarded, good *tls.Config) {
	foreign := uplinktest.NewAuthority(t)
	forged := foreign.Client(foreign.Issue("noodle-bar/till-1", 0))
	forged.RootCAs = a.Roots
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	ended := a.Client(a.Issue("noodle-bar/till-9", -time.Minute))
	for name, c := range map[string]*tls.Config{
		"no certificate":  {RootCAs: a.Roots},
		"a stranger's CA": forged,
		"TLS 1.2":         old,
		"an ended one":    ended,
	} {
		for _, addr := range []string{g.terminals, g.wallets} {
			if e, err := attach(t, addr, "x", c); err == nil {
				t.Errorf("%s: in at %s", name, addr)
				e.Disconnect(0)
			}
		}
	}
	nobody, err := attach(t, g.terminals, "nobody", a.Client(a.Issue("nobody", 0)))
	if err != nil {
		return // not even in
	}
	subscribe(nobody, "#")
	nobody.Publish("tapkeeper/v1/noodle-bar/till-1/up/advice", 1, false, "x").WaitTimeout(time.Second)
	time.Sleep(100 * time.Millisecond)
	if got := nobody.heard(); len(got) > 0 {
		t.Errorf("an unknown name heard %q", got)
	}
}

// subscribe asks, and takes a refusal as well as a grant: brokers differ.
func subscribe(e *ear, filter string) { e.Subscribe(filter, 1, nil).WaitTimeout(3 * time.Second) }
