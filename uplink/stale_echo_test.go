package uplink_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

// The answer to an echo of another life is genuine and old: whoever took the
// wallet's time from it would be wrong.
func TestAnswersToForgottenEchoesAreDropped(t *testing.T) {
	p := newParties(t)
	broker := startBroker(t, uplinktest.Options{})
	if err := broker.Serve(wire.UpFilter, func(topic string, payload []byte) []uplinktest.Publication {
		m, err := p.wallet.Open(topic, payload)
		if err != nil || m.Kind != wire.KindEcho {
			return nil
		}
		d := wire.EchoAnswer{Answer: wire.Answer{Answers: newID(), AnswersSHA256: wire.DigestOf([]byte("an echo of yesterday"))}}
		raw, err := p.wallet.Seal(m.Terminal, wire.Header{ID: newID(), Time: time.Now().Add(-24 * time.Hour)}, d)
		if err != nil {
			t.Error(err)
		}
		return []uplinktest.Publication{{Topic: m.Terminal.DownTopic(d.Kind()), Payload: raw}}
	}); err != nil {
		t.Fatal(err)
	}
	var handled atomic.Int64
	l := start(t, uplink.Config{Broker: broker.URL(), Terminal: p.terminal, Handle: func(context.Context, *wire.Message) error {
		handled.Add(1)
		return nil
	}}, newBox())
	eventually(t, 5*time.Second, "the old answer is counted", func() bool { return l.Status().Dropped >= 1 })
	if n := handled.Load(); n != 0 || l.Connected() {
		t.Errorf("%d old answers reached the handler; connected: %v", n, l.Connected())
	}
}
