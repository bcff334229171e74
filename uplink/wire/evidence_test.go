package wire

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

// TestAttested: a statement is not a message and a message not a statement,
// although one key signs both.
func TestAttested(t *testing.T) {
	p := newParties(t)
	key := testEd25519(1).Public().(ed25519.PublicKey)
	statement := []byte(`{"format":"x"}`)
	signed, err := p.terminal.Attest(statement)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadAttested(signed, key); err != nil || !bytes.Equal(got, statement) {
		t.Fatalf("read %s, %v", got, err)
	}
	for name, wrong := range map[string]ed25519.PublicKey{"another key": testEd25519(2).Public().(ed25519.PublicKey), "no key": nil} {
		if _, err := ReadAttested(signed, wrong); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	message, err := p.terminal.Seal(Header{ID: testID(7), Time: testTime}, Query{testID(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAttested(message, key); !errors.Is(err, ErrSignature) {
		t.Errorf("a message passed as a statement: %v", err)
	}
	// A statement that spells a whole message, signed by the terminal itself.
	part, err := splitCompact(string(message), 3)
	if err != nil {
		t.Fatal(err)
	}
	if signed, err = p.terminal.Attest(part[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := p.wallet.Open(till.UpTopic(KindQuery), signed); !errors.Is(err, ErrSignature) {
		t.Errorf("a statement passed as a message: %v", err)
	}
}

// TestReadAnswer: what the terminal opens a third party can read, and nothing else.
func TestReadAnswer(t *testing.T) {
	p := newParties(t)
	wallet := testEd25519(2).Public().(ed25519.PublicKey)
	for name, d := range everyData() {
		raw, err := p.seal(Header{ID: testID(7), Sequence: sequenceFor(d), Time: testTime}, d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m, err := ReadAnswer(raw, till, wallet)
		if answer := downDecoder(d.Kind()) != nil; answer != (err == nil) || answer && m.Kind != d.Kind() {
			t.Errorf("%s: an answer %v, read: %v", name, answer, err)
		}
		if _, err := ReadAnswer(raw, other, wallet); err == nil {
			t.Errorf("%s was read as another terminal's", name)
		}
		if _, err := ReadAnswer(raw, till, testEd25519(5).Public().(ed25519.PublicKey)); err == nil {
			t.Errorf("%s was read with another wallet's key", name)
		}
		if _, err := ReadAnswer(raw, till, nil); err == nil {
			t.Errorf("%s was read without a key", name)
		}
	}
}

func sequenceFor(d Data) uint64 {
	if d.Kind().money() {
		return 41
	}
	return 0
}
