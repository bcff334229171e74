package uplinktest

import (
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A client that comes back at once, after a goodbye or without one, keeps what it
// has subscribed to.
func TestComingBackAtOnce(t *testing.T) {
	b, err := NewBroker(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	var before mqtt.Client
	for n := range rounds {
		heard := make(chan struct{}, 1)
		if before != nil {
			go before.Disconnect(uint(n % 2)) // it may be taken over before its goodbye is read
		}
		c := connect(t, "tcp://"+b.Addr())
		if tok := c.Subscribe("down/x", 1, func(mqtt.Client, mqtt.Message) { heard <- struct{}{} }); !tok.WaitTimeout(3 * time.Second) {
			t.Fatal("no SUBACK")
		}
		time.Sleep(time.Duration(n%4) * time.Millisecond)
		if err := b.Publish(Publication{"down/x", []byte("x")}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
		case <-time.After(time.Second):
			t.Fatalf("round %d: its subscription is gone", n)
		}
		before = c
	}
	before.Disconnect(0)
}
