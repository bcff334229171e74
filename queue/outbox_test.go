package queue

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestOutboxOrder(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Entries: []Entry{entry("a1", "a"), entry("b1", "b"), entry("a2", "a"), entry("n1", ""), entry("n2", "")}})
	commit(t, s, Commit{Entries: []Entry{entry("b2", "b"), entry("c1", "c")}})
	steps := []struct {
		commit          Commit
		waiting, parked string
	}{
		{Commit{}, "a1 b1 n1 n2 c1 ", ""},
		{Commit{Done: []string{"b1"}}, "a1 n1 n2 b2 c1 ", ""},
		{Commit{Park: []Park{{"a1", "refused 0B"}}}, "a2 n1 n2 b2 c1 ", "a1 "}, // a parked one blocks nobody
		{Commit{Park: []Park{{"n2", "refused 0C"}}}, "a2 n1 b2 c1 ", "a1 n2 "},
		{Commit{Release: []string{"a1"}}, "a1 n1 b2 c1 ", "n2 "}, // and returns to its old place
		{Commit{Done: []string{"n2", "a1", "c1"}}, "a2 n1 b2 ", ""},
		{Commit{Done: []string{"a2"}, Entries: []Entry{entry("a2", "b")}}, "n1 b2 ", ""}, // replaced in one commit: last of b
		{Commit{Done: []string{"b2", "n1"}}, "a2 ", ""},
	}
	for i, step := range steps {
		commit(t, s, step.commit)
		wantIDs(t, s, step.waiting, step.parked)
		verify(t, s)
		s = reopen(t, s, dir)
		wantIDs(t, s, step.waiting, step.parked)
		if t.Failed() {
			t.Fatalf("at step %d", i)
		}
	}
	if list, err := s.Waiting(0); len(list) != 0 || err != nil {
		t.Errorf("limit 0: %v, %v", list, err)
	}
}

// A body is made once, from the number of its commit, and stays as it is.
func TestBodyIsStoredOnce(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{})
	made := 0
	done := commit(t, s, Commit{Entries: []Entry{{ID: "e", Group: "g", Kind: "advice", Seal: func(seq uint64) ([]byte, error) {
		made++
		return fmt.Appendf(nil, "body %d made %d", seq, made), nil
	}}}})
	commit(t, s, Commit{Park: []Park{{"e", "why"}}})
	for range 2 {
		list, err := s.Parked()
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		e := list[0]
		if e.ID != "e" || e.Group != "g" || e.Kind != "advice" || e.Seq != done.Seq || e.Reason != "why" ||
			!bytes.Equal(e.Body, fmt.Appendf(nil, "body %d made 1", done.Seq)) {
			t.Errorf("got %+v", e)
		}
		s = reopen(t, s, dir)
	}
	if made != 1 {
		t.Errorf("sealed %d times", made)
	}
}

func TestChanged(t *testing.T) {
	s, dir := fresh(t)
	signalled := func() bool {
		select {
		case <-s.Changed():
			return true
		default:
			return false
		}
	}
	if signalled() {
		t.Error("a new store signals")
	}
	commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}})
	if signalled() {
		t.Error("a commit without entries signals")
	}
	commit(t, s, Commit{Entries: []Entry{entry("e1", ""), entry("e2", "")}})
	commit(t, s, Commit{Done: []string{"e1"}})
	if !signalled() || signalled() {
		t.Error("two commits with entries make one signal that waits")
	}
	s = reopen(t, s, dir)
	if !signalled() {
		t.Error("a store that opens with entries signals")
	}
}

// Finding the first entry must not pass what has left.
func TestDrainedOutboxStaysFast(t *testing.T) {
	s, _ := fresh(t)
	const rounds, each = 100, 50
	for r := range rounds {
		c, d := Commit{}, Commit{}
		for i := range each {
			id := fmt.Sprint(r, "-", i)
			c.Entries = append(c.Entries, entry(id, ""))
			d.Done = append(d.Done, id)
		}
		commit(t, s, c)
		commit(t, s, d)
	}
	commit(t, s, Commit{Entries: []Entry{entry("last", "")}})
	took := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			if list, err := s.Waiting(1); err != nil || len(list) != 1 {
				b.Fatal(list, err)
			}
		}
	})
	// A scan over 5,000 tombstones takes about a millisecond.
	if ns := took.NsPerOp(); ns > 200_000 {
		t.Errorf("the first entry took %d ns", ns)
	}
	t.Logf("the first entry after %d left: %d ns", rounds*each, took.NsPerOp())
}

func TestMissingBodyIsDamage(t *testing.T) {
	s, _ := fresh(t)
	commit(t, s, Commit{Entries: []Entry{entry("e1", ""), entry("e2", "")}})
	it := s.outbox.find("e2")
	h := &hand{s: s}
	h.Delete(s.ring.cellKey(classEntry, "", it.key()))
	h.done(t)
	s.show(s.Head(), nil)
	_, err := s.Waiting(2)
	var damage *DamageError
	if !errors.As(err, &damage) || damage.Key != "e2" {
		t.Errorf("waiting: %v", err)
	}
	if _, err := s.Verify(); !errors.As(err, &damage) || damage.Key != "e2" || damage.Seq != 1 {
		t.Errorf("verify: %v", err)
	}
}
