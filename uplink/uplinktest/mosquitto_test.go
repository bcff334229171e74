package uplinktest_test

import (
	"crypto/tls"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/uplinktest"
)

func client(t *testing.T, addr, id string, c *tls.Config, got mqtt.MessageHandler) (mqtt.Client, error) {
	t.Helper()
	cl := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + addr).SetClientID(id).SetProtocolVersion(4).
		SetTLSConfig(c).SetAutoReconnect(false).SetDefaultPublishHandler(got))
	tok := cl.Connect()
	if !tok.WaitTimeout(5 * time.Second) {
		t.Fatalf("connect %s: no answer", id)
	}
	t.Cleanup(func() { cl.Disconnect(100) })
	return cl, tok.Error()
}

// The example of docs/brokers works as it is, and its rules hold: a terminal's
// message arrives, under another terminal's topic it does not, also not when it
// comes frozen and killed in between.
func TestSecureMosquitto(t *testing.T) {
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	till := a.Client(a.Issue("noodle-bar/till-1", 0))
	wallet := a.Client(a.Issue("wallet", 0))
	for range 2 {
		got := make(chan string, 10)
		w, err := client(t, m.WalletAddr(), "worker-1", wallet, func(_ mqtt.Client, m mqtt.Message) { got <- m.Topic() })
		if err != nil {
			t.Fatal(err)
		}
		if tok := w.Subscribe("tapkeeper/v1/+/+/up/+", 1, nil); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
		c, err := client(t, m.Addr(), "noodle-bar/till-1", till, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Freeze()
		forbidden := c.Publish("tapkeeper/v1/noodle-bar/till-2/up/echo", 1, false, "x")
		if forbidden.WaitTimeout(100 * time.Millisecond) {
			t.Error("a frozen broker acknowledged")
		}
		m.Thaw()
		if tok := c.Publish("tapkeeper/v1/noodle-bar/till-1/up/echo", 1, false, "x"); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
		select {
		case topic := <-got:
			if topic != "tapkeeper/v1/noodle-bar/till-1/up/echo" {
				t.Errorf("arrived on %s", topic)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("nothing arrived")
		}
		if _, err := client(t, m.Addr(), "anybody", &tls.Config{RootCAs: a.Roots}, nil); err == nil {
			t.Error("in without a certificate")
		}
		m.Kill()
		m.Restart()
	}
}
