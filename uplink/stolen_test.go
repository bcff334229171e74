package uplink_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

// thief is whoever has the broker: he sees all that passes, publishes what he
// likes, and has a key of his own.
type thief struct {
	*testing.T
	parties
	broker *uplinktest.Broker
	key    ed25519.PrivateKey
}

// signed is a payload under a header with a kid, signed by the thief.
func (f *thief) signed(payload []byte, kid string) []byte {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(fmt.Appendf(nil, `{"alg":"EdDSA","kid":"%s","typ":"tapkeeper.message.v1"}`, kid)) + "." + b64(payload)
	return []byte(text + "." + b64(ed25519.Sign(f.key, []byte(text))))
}

// genuine is what the wallet has once sealed for some terminal.
func (f *thief) genuine(to wire.Address, d wire.Data) []byte {
	f.Helper()
	raw, err := f.wallet.Seal(to, wire.Header{ID: newID(), Time: time.Now()}, d)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

func (f *thief) publish(kind wire.Kind, raw []byte) {
	f.Helper()
	if err := f.broker.Publish(uplinktest.Publication{Topic: address.DownTopic(kind), Payload: raw}); err != nil {
		f.Fatal(err)
	}
}

// payloadOf is what a message signs, and its kid.
func payloadOf(t *testing.T, raw []byte) (payload []byte, kid string) {
	t.Helper()
	part := bytes.Split(raw, []byte("."))
	header, err := base64.RawURLEncoding.AppendDecode(nil, part[0])
	if err != nil {
		t.Fatal(err)
	}
	if payload, err = base64.RawURLEncoding.AppendDecode(nil, part[1]); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(header, []byte(`"kid":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return payload, string(name)
}

// Whoever has the broker cannot make a receipt, a configuration, a hotlist or a
// command: nothing of it reaches the handler, the entry stays, and each attempt is
// counted under its name.
func TestStolenBrokerForgesNothing(t *testing.T) {
	p := newParties(t)
	b := startBroker(t, uplinktest.Options{})
	d := newDesk(t, p.wallet)
	d.silent = func(m *wire.Message) bool { return m.Kind == wire.KindAdvice } // its receipt is never given
	if err := b.Serve(wire.UpFilter, d.handle); err != nil {
		t.Fatal(err)
	}
	box := newBox()
	var handled atomic.Int32
	cfg := uplink.Config{Broker: b.URL(), Terminal: p.terminal, Handle: func(ctx context.Context, m *wire.Message) error {
		if m.Kind != wire.KindEchoAnswer {
			handled.Add(1)
		}
		return box.handle(ctx, m)
	}}
	l := start(t, cfg, box)
	entry := p.advice(t, 1, "a")
	box.add(entry)
	eventually(t, 5*time.Second, "the advice is sent", func() bool { return d.count(entry.ID) > 0 })

	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &thief{T: t, parties: p, broker: b, key: key}
	own := wire.KeyID(key.Public())
	receipt := wire.Receipt{Answer: wire.Answer{Answers: entry.ID, AnswersSHA256: wire.DigestOf(entry.Body)}, PaymentID: newID(), Sequence: 1,
		Result: wire.Accepted, State: wire.StateTaken, AmountMinor: 101, WalletRef: "W"}
	otherBytes := receipt
	otherBytes.AnswersSHA256 = wire.DigestOf([]byte("what another terminal sent under this id"))
	config := wire.Config{Serial: 9, NotAfter: wire.At(time.Now().Add(time.Hour)), SHA256: wire.DigestOf([]byte("b")), Bundle: []byte("b")}
	command := wire.Command{Number: 9, NotAfter: wire.At(time.Now().Add(time.Hour)), Order: wire.OrderSuspend}
	hotlist := wire.Hotlist{Exceptions: &wire.Exceptions{ListVersion: wire.ListVersion{Version: 1, IssuedAt: wire.At(time.Now())}}}
	neighbour, stranger := wire.Address{Merchant: address.Merchant, Terminal: "till-2"}, wire.Address{Merchant: "tea-house", Terminal: address.Terminal}

	want := map[string]int64{}
	for _, data := range []wire.Data{receipt, config, command, hotlist} {
		good, kid := payloadOf(t, f.genuine(address, data))
		for _, attempt := range []struct {
			fault string
			raw   []byte
		}{
			{"unsigned", good},
			{"unknown_key", f.signed(good, own)},
			{"bad_signature", f.signed(good, kid)},
			{"elsewhere", f.genuine(neighbour, data)},
			{"elsewhere", f.genuine(stranger, data)},
		} {
			f.publish(data.Kind(), attempt.raw)
			want[attempt.fault]++
		}
	}
	f.publish(wire.KindReceipt, f.genuine(address, otherBytes))
	f.publish(wire.KindReceipt, entry.Body) // the terminal's own words
	f.publish(wire.KindStatus, f.genuine(address, receipt))
	f.publish(wire.KindReceipt, make([]byte, wire.MaxMessage+1))
	want["wrong_answer"]++
	want["unknown_key"]++
	want["elsewhere"]++
	want["too_large"]++
	eventually(t, 5*time.Second, "every attempt is counted", func() bool { return maps.Equal(l.Status().Faults, want) })
	if n := handled.Load(); n != 0 || box.left() != 1 {
		t.Errorf("%d forged messages reached the handler, %d entries are left", n, box.left())
	}
	// The wallet's own word does reach it.
	f.publish(wire.KindConfig, f.genuine(address, config))
	f.publish(wire.KindReceipt, f.genuine(address, receipt))
	eventually(t, 5*time.Second, "the genuine ones are handled", func() bool { return handled.Load() == 2 && box.left() == 0 })
}
