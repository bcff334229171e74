package backend

import (
	"errors"
	"testing"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
)

// A batch is answered message by message, in its order, in one publication; a
// forged one among them is left out and named; the batch again changes nothing.
func TestBatch(t *testing.T) {
	s := newShop(t)
	var sent []sealed
	var raw [][]byte
	for n := byte(1); n <= 5; n++ {
		m := s.seal(wire.Advice{Payment: about(n, 100, 1, s.tap(n, 100, backendtest.AskTC, 1))})
		sent, raw = append(sent, m), append(raw, m.raw)
	}
	forged := append([]byte(nil), raw[2]...)
	forged[len(forged)-5] ^= 1
	body, err := wire.Join([][]byte{raw[0], raw[1], forged, raw[3], raw[4]})
	s.must(err)
	var first string
	for range 2 {
		out, err := s.service.Handle(t.Context(), atTea.UpTopic(wire.KindBatch), body)
		if !errors.Is(err, ErrRejected) || len(out) != 1 || out[0].Topic != atTea.DownTopic(wire.KindBatch) {
			t.Fatalf("%d publications, %v", len(out), err)
		}
		answers, err := wire.Split(out[0].Topic, out[0].Payload)
		s.must(err)
		if len(answers) != 4 {
			t.Fatalf("%d receipts", len(answers))
		}
		for i, m := range []sealed{sent[0], sent[1], sent[3], sent[4]} {
			if r := open[wire.Receipt](s, m, answers[i]); r.Result != wire.Accepted {
				t.Errorf("receipt %d: %+v", i, r)
			}
		}
		if first != "" && first != string(out[0].Payload) {
			t.Error("the same batch, other bytes")
		}
		first = string(out[0].Payload)
		if got := s.balance("merchant:tea"); got != 400 {
			t.Errorf("merchant has %d", got)
		}
	}
	out, err := s.service.Handle(t.Context(), atTea.UpTopic(wire.KindBatch), raw[2])
	s.must(err)
	if len(out) != 1 || out[0].Topic != atTea.DownTopic(wire.KindReceipt) {
		t.Errorf("a batch of one: %+v", out)
	}
	if _, err := s.service.Handle(t.Context(), atTea.UpTopic(wire.KindBatch), []byte("\n\n")); !errors.Is(err, ErrRejected) {
		t.Errorf("an empty batch: %v", err)
	}
}
