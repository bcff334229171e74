package uplink_test

import (
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

// connectDesk attaches a desk to a real broker, as a client of its own.
func connectDesk(t *testing.T, url string, d *desk) mqtt.Client {
	t.Helper()
	return connectSecureDesk(t, url, nil, d)
}

// connectSecureDesk does it over TLS; paho wants ssl:// for that.
func connectSecureDesk(t *testing.T, url string, secure *tls.Config, d *desk) mqtt.Client {
	t.Helper()
	type in struct {
		topic   string
		payload []byte
	}
	work := make(chan in, 1024)
	stop := make(chan struct{})
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("desk").SetProtocolVersion(4).
		SetAutoReconnect(false).SetWriteTimeout(time.Second).SetTLSConfig(secure).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			select {
			case work <- in{m.Topic(), m.Payload()}:
			case <-stop:
			}
		}))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatalf("desk: %v", tok.Error())
	}
	if tok := c.Subscribe(wire.UpFilter, 1, nil); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatalf("desk: %v", tok.Error())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case m := <-work:
				for _, a := range d.handle(m.topic, m.payload) {
					c.Publish(a.Topic, 1, false, a.Payload)
				}
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		c.Disconnect(200)
	})
	return c
}

func TestMosquittoAskAndForward(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	m := uplinktest.Mosquitto(t)
	d := newDesk(t, p.wallet)
	connectDesk(t, m.URL(), d)
	b := newBox()
	for n := range 50 {
		b.add(p.advice(t, n+1, string(rune('a'+n%10))))
	}
	l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal}, b)
	eventually(t, 5*time.Second, "connected", l.Connected)
	eventually(t, 10*time.Second, "all done", func() bool { return b.left() == 0 })
}

// PUBACK of a real broker, then SIGKILL: what it acknowledged is gone, and comes again.
func TestMosquittoKilledAfterPuback(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	m := uplinktest.Mosquitto(t)
	b := newBox()
	l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal}, b)
	eventually(t, 5*time.Second, "up", func() bool { return l.Status().Up })
	for n := range 100 {
		e := p.advice(t, n+1, string(rune('a'+n)))
		b.add(e)
		if err := l.Send(t.Context(), e.Kind, e.Body); err != nil {
			t.Fatalf("no PUBACK for %d: %v", n, err)
		}
	}
	m.Kill()
	if n := b.left(); n != 100 {
		t.Fatalf("%d left after PUBACKs, want 100", n)
	}
	m.Restart()
	d := newDesk(t, p.wallet)
	connectDesk(t, m.URL(), d)
	eventually(t, 20*time.Second, "all 100 resent and done", func() bool { return b.left() == 0 })
}

func TestMosquittoCutsInTheMiddle(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	m := uplinktest.Mosquitto(t)
	d := newDesk(t, p.wallet)
	connectDesk(t, m.URL(), d)
	cutAndDrain(t, p, startRelay(t, m.Addr()), d)
}

func TestMosquittoWrongCredentials(t *testing.T) {
	passwd, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no mosquitto_passwd (CI needs the real broker)")
		}
		t.Skip("no mosquitto_passwd")
	}
	p := newParties(t)
	noLeaks(t)
	file := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command(passwd, "-b", "-c", file, "till", "right").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v %s", err, out)
	}
	m := uplinktest.Mosquitto(t, "allow_anonymous false", "password_file "+file)
	for password, want := range map[string]uplink.Problem{"wrong": uplink.NotAuthorised, "right": uplink.None} {
		l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal, ClientID: "till-" + password,
			Credentials: func() (string, string) { return "till", password }}, nil)
		eventually(t, 5*time.Second, password+" password", func() bool {
			s := l.Status()
			return s.Problem == want && s.Up == (want == uplink.None)
		})
	}
}

// A subscription that the broker's rules refuse is not taken for a good one.
func TestMosquittoForbiddenTopics(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	acl := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(acl, []byte("topic write tapkeeper/v1/+/+/up/+\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := uplinktest.Mosquitto(t, "allow_anonymous true", "acl_file "+acl)
	l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal}, nil)
	// mosquitto 2.0 grants the SUBSCRIBE and delivers nothing: only the wallet's
	// silence shows it.
	eventually(t, 5*time.Second, "an answer of the broker", func() bool {
		s := l.Status()
		return s.Up || s.Problem == uplink.NotAuthorised
	})
	time.Sleep(300 * time.Millisecond)
	if l.Connected() {
		t.Error("connected without a word from the wallet")
	}
}
