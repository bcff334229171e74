package cluster_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/uplinktest/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// connect is a bare client. While a cluster elects, it refuses: the client asks again.
func connect(t *testing.T, addr, id string, c *tls.Config, got mqtt.MessageHandler) mqtt.Client {
	t.Helper()
	var last error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		cl := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + addr).SetClientID(id).SetProtocolVersion(4).
			SetTLSConfig(c).SetAutoReconnect(false).SetDefaultPublishHandler(got))
		tok := cl.Connect()
		if tok.WaitTimeout(10*time.Second) && tok.Error() == nil {
			t.Cleanup(func() { cl.Disconnect(100) })
			return cl
		}
		last = tok.Error()
	}
	t.Fatalf("connect %s: %v", id, last)
	return nil
}

func done(t *testing.T, what string, tok mqtt.Token) {
	t.Helper()
	if !tok.WaitTimeout(20*time.Second) || tok.Error() != nil {
		t.Fatalf("%s: %v", what, tok.Error())
	}
}

// A message crosses the cluster, also after one server was killed, and the killed
// one comes back.
func TestClusterSurvivesOne(t *testing.T) {
	began := time.Now()
	a := uplinktest.NewAuthority(t)
	c := cluster.Start(t, a, "noodle-bar/till-1")
	t.Logf("healthy after %v", time.Since(began))
	var got atomic.Int32
	wallet := connect(t, c.Nodes[2].Addr(), "wallet", a.Client(a.Issue("wallet", 0)), func(mqtt.Client, mqtt.Message) { got.Add(1) })
	done(t, "subscribe", wallet.Subscribe("tapkeeper/v1/+/+/up/+", 1, nil))
	till := a.Client(a.Issue("noodle-bar/till-1", 0))
	send := func(node *cluster.Node, n int) {
		t.Helper()
		cl := connect(t, node.Addr(), fmt.Sprint("till-", n), till, nil)
		done(t, "publish", cl.Publish("tapkeeper/v1/noodle-bar/till-1/up/echo", 1, false, "x"))
	}
	arrives := func(n int32) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); got.Load() < n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d of %d arrived", got.Load(), n)
			}
		}
	}
	send(c.Nodes[0], 1)
	arrives(1)
	c.Nodes[0].Kill()
	send(c.Nodes[1], 2)
	arrives(2)
	c.Nodes[0].Restart()
	send(c.Nodes[0], 3)
	arrives(3)
	t.Logf("all in %v", time.Since(began))
}
