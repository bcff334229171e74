package queue

import (
	"bytes"
	"errors"
	"testing"
)

// A sealed cell opens under its own key and number only, whole or not at all.
func TestCellSeal(t *testing.T) {
	r, err := newRing(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	key, plain := r.cellKey(classRecord, "payment", "p1"), named("p1", []byte("value"))
	stored := r.seal(key, 5, plain)
	if seq, got, err := r.open(key, stored); seq != 5 || err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("got %d, %q, %v", seq, got, err)
	}
	if bytes.Equal(stored, r.seal(key, 5, plain)) {
		t.Error("two seals of the same are the same: the nonce repeats")
	}
	other, err := newRing(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, r *ring, key, stored []byte) {
		t.Helper()
		if _, got, err := r.open(key, stored); !errors.Is(err, errSeal) || got != nil {
			t.Errorf("%s: got %q, %v", what, got, err)
		}
	}
	refused("another data key", other, key, stored)
	for what, k := range map[string][]byte{
		"another key": r.cellKey(classRecord, "payment", "p2"), "another kind": r.cellKey(classRecord, "order", "p1"),
		"another class": r.cellKey(classCounter, "payment", "p1"),
	} {
		refused(what, r, k, stored)
	}
	for i := range stored {
		broken := bytes.Clone(stored)
		broken[i] ^= 1 // of the number, the nonce, the text, the tag
		refused("a flipped bit", r, key, broken)
		refused("cut short", r, key, stored[:i])
	}
}

// The hash of an event covers each of its parts.
func TestEventHash(t *testing.T) {
	make := func(change func(*event)) [32]byte {
		e := event{seq: 2, prev: [32]byte{1}, payload: []byte("payload"), first: 1, depth: 3, changes: changesOf("p1")}
		change(&e)
		plain, hash := e.encode()
		if got, again, err := decodeEvent(e.seq, plain); err != nil || again != hash || len(got.changes) != len(e.changes) {
			t.Errorf("decoded: %+v, %v", got, err)
		}
		return hash
	}
	seen := map[[32]byte]int{}
	for i, change := range []func(*event){
		func(*event) {},
		func(e *event) { e.seq++ },
		func(e *event) { e.prev[31] = 1 },
		func(e *event) { e.payload = []byte("payloae") },
		func(e *event) { e.first++ },
		func(e *event) { e.depth++ },
		func(e *event) { e.changes = changesOf("p2") },
		func(e *event) { e.changes = e.changes[:1] },
		func(e *event) { e.changes[0].digest[0]++ },
		func(e *event) { e.changes[0].kind = "order" },
		func(e *event) { e.changes[0].class = classCounter },
		func(e *event) { e.changes[0].gone = true },
	} {
		h := make(change)
		if other, ok := seen[h]; ok {
			t.Errorf("changes %d and %d of an event have one hash", other, i)
		}
		seen[h] = i
	}
}

func changesOf(key string) []change {
	return []change{{class: classRecord, kind: "payment", key: key}, {gone: true, class: classEntry, kind: "e1", key: place{1, 0}.key()}}
}
