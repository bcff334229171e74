package queue

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// day is a script of what a terminal commits from opening to closing: payments are
// opened, stored, settled, set aside, taken back and deleted, and some commits are
// refused by a guard or a cap.
func day() (out []Commit) {
	add := func(c Commit) {
		c.Event = fmt.Append(nil, "event ", len(out))
		out = append(out, c)
	}
	for p := range 30 {
		id := fmt.Sprint(p)
		record := func(state string) []Record { return []Record{{"a", id, []byte(state)}} }
		add(Commit{Guards: []Guard{{"a", id, nil}}, Records: record("open"), Counts: []Count{{"taps", 1, 28}}})
		e := entry("e"+id, fmt.Sprint("g", p%4))
		e.Priority = Priority(p % priorities)
		add(Commit{Guards: []Guard{{"a", id, []byte("open")}}, Records: record("stored"), Entries: []Entry{e}, Counts: []Count{{"exposure", 7, 70}}})
		switch p % 6 {
		case 0, 3:
			add(Commit{Done: []string{"e" + id}, Records: append(record("settled"), Record{"b", id, []byte("receipt")}), Counts: []Count{{"exposure", -7, 0}}})
		case 1:
			add(Commit{Park: []Park{{"e" + id, "refused for good"}}})
		case 2:
			add(Commit{Hold: []Park{{"e" + id, "asked again"}}})
		case 4:
			add(Commit{Release: []string{fmt.Sprint("e", p-2)}})
			add(Commit{Done: []string{fmt.Sprint("e", p-2)}, Counts: []Count{{"exposure", -7, 0}}})
		case 5: // what was kept long enough goes, with what is left of it
			add(Commit{Records: []Record{{"a", fmt.Sprint(p - 5), nil}, {"b", fmt.Sprint(p - 5), nil}}})
		}
	}
	return out
}

// scripted is a day that is played against the model, over failures and reopenings.
type scripted struct {
	script  []Commit
	state   *model
	unknown int // commits that ended so
}

func newScripted() *scripted {
	return &scripted{script: day(), state: &model{records: map[string]string{}, counts: map[string]int64{}}}
}

// play commits from number i on and returns the number of the first one that ended
// as unknown, or the script's length.
func (d *scripted) play(t fataler, i int, commit func(Commit) error) int {
	for ; i < len(d.script); i++ {
		next := d.state.clone()
		accepted := next.apply(d.script[i], false)
		err := commit(d.script[i])
		var full *CapError
		switch {
		case errors.Is(err, ErrUnknown):
			d.unknown++
			return i
		case accepted && err == nil:
			d.state = next
		case accepted:
			t.Fatalf("commit %d: %v; a failure is told as unknown, never as a refusal", i, err)
		case err == nil || !errors.Is(err, ErrConflict) && !errors.As(err, &full):
			t.Fatalf("commit %d must be refused: %v", i, err)
		}
	}
	return i
}

// settle takes what the opened store says of a commit that was unknown for the
// truth, and returns the number of the commit to go on with.
func (d *scripted) settle(t fataler, i int, s *Store) int {
	head := int(s.Head().Seq)
	next := d.state.clone()
	switch accepted := next.apply(d.script[i], false); {
	case head == len(d.state.events):
	case accepted && head == len(next.events):
		d.state, i = next, i+1
	default:
		t.Fatalf("%d commits were acknowledged, one is unknown, %d are there", len(d.state.events), head)
	}
	compare(t, s, d.state)
	return i
}

// Every write and every sync of a whole day fails, one at a time: the caller hears
// that the outcome is unknown, opening again tells it, with or without a power cut
// before, and the day goes on.
func TestDayWithEveryFailure(t *testing.T) {
	failures, unknown, commits := 0, 0, 0
	for n := 0; ; n++ {
		l := newLife(n)
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		d := newScripted()
		l.disk.FailIn = n
		for i := 0; ; {
			if i = d.play(t, i, l.one); i == len(d.script) {
				break
			}
			if err := l.one(Commit{Event: []byte("e")}); !errors.Is(err, ErrUnknown) {
				t.Fatalf("failure %d: the commit after it: %v", n, err)
			}
			if n%3 > 0 {
				l.disk.Cut()
			}
			if err := l.open(); err != nil {
				t.Fatalf("failure %d at commit %d: %v", n, i, err)
			}
			i = d.settle(t, i, l.store)
		}
		compare(t, l.store, d.state)
		if _, err := l.store.Verify(); err != nil {
			t.Fatalf("failure %d: %v", n, err)
		}
		if l.disk.Failures == 0 {
			commits = len(d.state.events)
			break // the day has no write or sync of that number
		}
		failures, unknown = failures+l.disk.Failures, unknown+d.unknown
	}
	t.Logf("%d commits, %d writes and syncs that failed, %d unknown, 0 lost", commits, failures, unknown)
	if failures != 4*commits || unknown != failures { // log and anchor, each written and synced
		t.Error("that is not every write and sync")
	}
}

// one is one commit in a batch of its own.
func (l *life) one(c Commit) error {
	b := l.store.newBatch(nil)
	b.take(&request{commit: c, answer: make(chan answer, 1)})
	l.store.finish(b)
	return (<-b.requests[0].answer).err
}

// At every commit of the day the disk is full to the last byte, and then to the
// line below which only ends are taken; healed, the day goes on without a restart.
func TestDayOnAFullDisk(t *testing.T) {
	s, dir := fresh(t)
	free := uint64(1 << 40)
	s.space.free = func(string) (uint64, error) { return free, nil }
	d, refused := newScripted(), 0
	i := d.play(t, 0, func(c Commit) error {
		head := s.Head()
		for _, free = range []uint64{0, minReserve + 1} {
			done, err := s.Commit(context.Background(), c)
			if err == nil && free > 0 && c.ends() {
				free = 1 << 40
				if done.Seq != head.Seq+1 {
					t.Errorf("number %d after %d", done.Seq, head.Seq)
				}
				return nil
			}
			if !errors.Is(err, ErrFull) && (free == 0 || !c.ends()) || s.Head() != head {
				t.Fatalf("%d bytes free: %v", free, err)
			}
			if refused++; errors.Is(err, ErrConflict) {
				return err
			}
		}
		free = 1 << 40
		_, err := s.Commit(context.Background(), c)
		return err
	})
	if i != len(d.script) {
		t.Fatalf("commit %d is unknown", i)
	}
	compare(t, s, d.state)
	s = reopen(t, s, dir)
	compare(t, s, d.state)
	verify(t, s)
	t.Logf("%d commits, %d refused by the disk first", len(d.script), refused)
}
