package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func seeds(f *testing.F) [][]byte {
	f.Helper()
	files, _ := filepath.Glob("testdata/golden/*.jws")
	if len(files) == 0 {
		f.Fatal("no golden messages to begin with")
	}
	var out [][]byte
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, raw[:len(raw)-1])
	}
	return out
}

// FuzzOpen: any bytes on any topic end in a message or an error, never in both.
func FuzzOpen(f *testing.F) {
	p := newParties(f)
	for _, raw := range seeds(f) {
		f.Add(till.UpTopic(KindAdvice), raw)
		f.Add(till.DownTopic(KindReceipt), raw)
	}
	f.Fuzz(func(t *testing.T, topic string, raw []byte) {
		for _, open := range []func(string, []byte) (*Message, error){p.wallet.Open, p.terminal.Open} {
			if m, err := open(topic, raw); (m == nil) == (err == nil) {
				t.Fatalf("message %v, error %v", m, err)
			}
		}
	})
}

// FuzzPayload goes behind the signature: what a genuine sender could send. What
// is accepted can be sealed again and reads the same.
func FuzzPayload(f *testing.F) {
	p := newParties(f)
	for _, d := range everyData() {
		f.Add(string(d.Kind()), []byte(payloadOf(f, p, d)))
	}
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		k := testEd25519(1)
		if downDecoder(Kind(kind)) != nil {
			k = testEd25519(2)
		}
		m, err := p.open(Kind(kind), forge(k, goodHeader(k), string(payload)))
		if (m == nil) == (err == nil) {
			t.Fatalf("message %v, error %v", m, err)
		}
		if err != nil {
			return
		}
		again, err := p.seal(m.Header, m.Data)
		if err != nil {
			t.Fatalf("accepted %s cannot be sealed: %v", payload, err)
		}
		m2, err := p.open(m.Kind, again)
		if err != nil || !same(m.Data, m2.Data) || m.Sequence != m2.Sequence || m.ID != m2.ID {
			t.Fatalf("reads %+v, then %+v, %v", m.Data, m2, err)
		}
	})
}

// FuzzSplit: a publication is divided without a loss, within the bounds, or refused.
func FuzzSplit(f *testing.F) {
	var all [][]byte
	for _, raw := range seeds(f) {
		if len(all) < MaxBatch {
			all = append(all, raw)
		}
		f.Add(raw)
	}
	f.Add(bytes.Join(all, []byte{'\n'}))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		messages, err := Split(till.UpTopic(KindBatch), payload)
		if (messages == nil) == (err == nil) {
			t.Fatalf("%d messages, error %v", len(messages), err)
		}
		if err != nil {
			return
		}
		again, err := Join(messages)
		if err != nil || !bytes.Equal(again, payload) || len(messages) > MaxBatch {
			t.Fatalf("%d messages, joined again: %v", len(messages), err)
		}
	})
}

// FuzzRevocations goes behind the CA's signature: what is accepted can be sealed
// again and reads the same.
func FuzzRevocations(f *testing.F) {
	ca := testCA(f, 4)
	good, err := json.Marshal(someRevocations())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"rid":"f05441504b","version":1,"issued_at":"2026-11-24T09:30:00Z","base":0}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := readRevocations(payload)
		if err != nil {
			return
		}
		jws, err := SealRevocations(ca, r)
		if err != nil {
			t.Fatalf("accepted %s cannot be sealed: %v", payload, err)
		}
		again, err := ReadRevocations(jws, &ca.PublicKey)
		if err != nil || again.Version != r.Version || len(again.Added) != len(r.Added) {
			t.Fatalf("reads %+v, then %+v, %v", r, again, err)
		}
	})
}
