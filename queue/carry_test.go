package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
)

// dumped is a journal as bytes.
func dumped(t *testing.T, s *Store) (items [][]byte, head Committed) {
	t.Helper()
	head, err := s.Dump(func(item []byte) error { items = append(items, bytes.Clone(item)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return items, head
}

func feed(items [][]byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(items) == 0 {
			return nil, io.EOF
		}
		item := items[0]
		items = items[1:]
		return item, nil
	}
}

// busy fills a store with some of everything.
func busy(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("e%d", i)
		c := Commit{
			Event: []byte(id), Records: []Record{{"payment", id, []byte("amount")}}, Entries: []Entry{entry(id, fmt.Sprintf("g%d", i%5))},
			Counts: []Count{{"exposure", 7, 1 << 20}},
		}
		switch i % 4 {
		case 2:
			c.Done = []string{fmt.Sprintf("e%d", i-2)}
		case 3:
			c.Park = []Park{{fmt.Sprintf("e%d", i-1), "refused"}}
		}
		commit(t, s, c)
	}
}

// A journal that was carried is the old one, with another data key, and goes on
// where it ended; the old one is closed for good.
func TestCarry(t *testing.T) {
	ctx := context.Background()
	s, dir := fresh(t)
	busy(t, s, 600)
	_, waitingBefore := s.Depth()
	list, err := s.Waiting(1000)
	before := ids(t, list, err)
	given, err := s.HandOver(ctx, Handover{"a1", "bob"}, []byte("given"))
	if err != nil || given.Archive != "a1" {
		t.Fatal(given, err)
	}
	var gone *HandedOverError
	if _, err := s.Commit(ctx, Commit{Event: []byte("late")}); !errors.As(err, &gone) {
		t.Errorf("a commit after it: %v", err)
	}
	if again, err := s.HandOver(ctx, Handover{"a2", "bob"}, []byte("given")); err != nil || again.Archive != "a1" {
		t.Errorf("again to the same: %+v, %v", again, err)
	}
	if _, err := s.HandOver(ctx, Handover{"a2", "eve"}, []byte("given")); !errors.As(err, &gone) || gone.To != "bob" {
		t.Errorf("to another: %v", err)
	}
	items, head := dumped(t, s)
	shut(t, s)
	if _, err := Open(Options{Dir: dir, Master: testMaster}); !errors.As(err, &gone) || gone.Archive != "a1" {
		t.Errorf("opened again: %v", err)
	}
	if r, err := Inspect(Options{Dir: dir, Master: testMaster}); err != nil || r.Head != head {
		t.Errorf("inspected: %+v, %v", r, err)
	}

	there := filepath.Join(t.TempDir(), "journal")
	o := Options{Dir: there, Master: nextMaster}
	if _, err := Restore(ctx, o, Arrival{"a1", head, []byte("taken")}, feed(items)); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(ctx, o, Arrival{"a1", head, []byte("taken")}, feed(items)); err == nil {
		t.Error("restored over a journal")
	}
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if by, err := n.ArrivedBy(); err != nil || by != "a1" {
		t.Errorf("arrived by %q, %v", by, err)
	}
	list, err = n.Waiting(1000)
	if after := ids(t, list, err); after != before || before == "" {
		t.Errorf("waiting: %q, before %q", after, before)
	}
	if _, aside := n.Depth(); aside != waitingBefore || aside == 0 {
		t.Errorf("set aside: %d, before %d", aside, waitingBefore)
	}
	if c, err := n.Count("exposure"); err != nil || c != 600*7 {
		t.Errorf("exposure %d, %v", c, err)
	}
	var full *CapError
	if _, err := n.Commit(ctx, Commit{Event: []byte("x"), Counts: []Count{{"exposure", 1, 600 * 7}}}); !errors.As(err, &full) {
		t.Errorf("the cap: %v", err)
	}
	if done := commit(t, n, Commit{}); done.Seq != head.Seq+2 {
		t.Errorf("it goes on at %d, after %d", done.Seq, head.Seq)
	}
	verify(t, n)
}

// Whatever is changed in, left out of or added to what was carried is found.
func TestCarryTampered(t *testing.T) {
	s, _ := fresh(t)
	busy(t, s, 9)
	if _, err := s.HandOver(context.Background(), Handover{"a1", "bob"}, []byte("given")); err != nil {
		t.Fatal(err)
	}
	items, head := dumped(t, s)
	try := func(items [][]byte, head Committed, archive string) error {
		_, err := Restore(context.Background(), Options{Dir: filepath.Join(t.TempDir(), "j"), Master: testMaster}, Arrival{archive, head, []byte("taken")}, feed(items))
		return err
	}
	tried := map[byte]int{}
	for i := range items {
		if tried[items[i][0]]++; tried[items[i][0]] > 2 { // a store takes its time to be made
			continue
		}
		without := append(append([][]byte{}, items[:i]...), items[i+1:]...)
		if err := try(without, head, "a1"); err == nil {
			t.Errorf("without item %d (%c): restored", i, items[i][0])
		}
		changed := append([][]byte{}, items...)
		changed[i] = bytes.Clone(items[i])
		changed[i][len(changed[i])-1] ^= 1
		if err := try(changed, head, "a1"); err == nil {
			t.Errorf("item %d (%c) changed: restored", i, items[i][0])
		}
	}
	if err := try(items, Committed{head.Seq - 1, head.Hash}, "a1"); err == nil {
		t.Error("another head: restored")
	}
	if err := try(items, head, "a2"); err == nil {
		t.Error("another archive: restored")
	}
	if err := try(nil, Committed{}, "a1"); err == nil {
		t.Error("nothing: restored")
	}
	if err := try(items, head, "a1"); err != nil {
		t.Errorf("all of it: %v", err)
	}
}
