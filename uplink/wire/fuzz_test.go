package wire

import (
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
