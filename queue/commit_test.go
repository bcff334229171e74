package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCommitIsAtomic(t *testing.T) {
	s, dir := fresh(t)
	first := commit(t, s, Commit{
		Records: []Record{{"payment", "p1", []byte("stored")}, {"order", "o1", []byte("p1")}},
		Event:   []byte("accepted"), Entries: []Entry{entry("e1", "p1")}, Counts: []Count{{"offline", 900, 1000}},
	})
	if first.Seq != 1 {
		t.Fatalf("first commit has number %d", first.Seq)
	}
	sealed := 0
	full := func(c Commit) Commit { // everything that must not stay
		c.Event = []byte("refused")
		c.Records = append(c.Records, Record{"payment", "p1", []byte("changed")}, Record{"payment", "p2", []byte("new")})
		c.Entries = append(c.Entries, Entry{ID: "e2", Kind: "advice", Seal: func(uint64) ([]byte, error) { sealed++; return []byte("x"), nil }})
		c.Counts = append(c.Counts, Count{"other", 5, 0})
		return c
	}
	errSealed := errors.New("no key")
	tests := []struct {
		name   string
		commit Commit
		want   func(error) bool
		seals  int
	}{
		{"guard absent", full(Commit{Guards: []Guard{{"order", "o1", nil}}}), isConflict("o1"), 0},
		{"guard other value", full(Commit{Guards: []Guard{{"order", "o1", []byte("p9")}}}), isConflict("o1"), 0},
		{"guard missing", full(Commit{Guards: []Guard{{"order", "o2", []byte("p1")}}}), isConflict("o2"), 0},
		{"guard empty is not absent", full(Commit{Guards: []Guard{{"order", "o2", []byte{}}}}), isConflict("o2"), 0},
		{"cap", full(Commit{Counts: []Count{{"offline", 101, 1000}}}), isCap("offline", 900), 0},
		{"cap by two deltas", full(Commit{Counts: []Count{{"offline", 60, 1000}, {"offline", 60, 1000}}}), isCap("offline", 960), 0},
		{"overflow", full(Commit{Counts: []Count{{"offline", 1<<63 - 1, 0}}}), isOther, 0},
		{"done twice", full(Commit{Done: []string{"e1", "e1"}}), isConflict("e1"), 0},
		{"done unknown", full(Commit{Done: []string{"e9"}}), isConflict("e9"), 0},
		{"park unknown", full(Commit{Park: []Park{{"e9", "why"}}}), isConflict("e9"), 0},
		{"release waiting", full(Commit{Release: []string{"e1"}}), isConflict("e1"), 0},
		{"entry is there", full(Commit{Entries: []Entry{entry("e1", "")}}), isConflict("e1"), 0},
		{"seal fails", full(Commit{Entries: []Entry{{ID: "e3", Kind: "advice", Seal: func(uint64) ([]byte, error) { return nil, errSealed }}}}),
			func(err error) bool { return errors.Is(err, errSealed) }, 0},
		{"second seal is too long", func() Commit {
			c := full(Commit{})
			c.Entries = append(c.Entries, Entry{ID: "e4", Kind: "advice", Seal: func(uint64) ([]byte, error) { return make([]byte, maxValue+1), nil }})
			return c
		}(), isOther, 1},
	}
	for _, test := range tests {
		sealed = 0
		_, err := s.Commit(context.Background(), test.commit)
		if err == nil || !test.want(err) {
			t.Errorf("%s: %v", test.name, err)
		}
		if sealed != test.seals {
			t.Errorf("%s: sealed %d messages, want %d", test.name, sealed, test.seals)
		}
	}
	for range 2 { // as it is in memory, and as it is on disk
		if s.Head() != first {
			t.Errorf("head is %v, want %v", s.Head(), first)
		}
		wantValue(t, s, "payment", "p1", []byte("stored"))
		wantValue(t, s, "payment", "p2", nil)
		wantIDs(t, s, "e1 ", "")
		for name, want := range map[string]int64{"offline": 900, "other": 0} {
			if n, err := s.Count(name); n != want || err != nil {
				t.Errorf("count %s: %d, %v, want %d", name, n, err, want)
			}
		}
		if r := verify(t, s); r.Head != first || r.Records != 2 || r.Counters != 1 || r.Waiting != 1 || r.Aside != 0 {
			t.Errorf("report %+v", r)
		}
		s = reopen(t, s, dir)
	}
	if next := commit(t, s, Commit{Counts: []Count{{"offline", 100, 1000}}}); next.Seq != 2 {
		t.Errorf("after refusals and reopening the next number is %d", next.Seq)
	}
}

func isConflict(key string) func(error) bool {
	return func(err error) bool {
		var c *ConflictError
		return errors.Is(err, ErrConflict) && errors.As(err, &c) && c.Key == key && strings.Contains(err.Error(), key)
	}
}

func isCap(name string, value int64) func(error) bool {
	return func(err error) bool {
		var c *CapError
		return errors.As(err, &c) && c.Name == name && c.Value == value
	}
}

func isOther(err error) bool {
	var c *CapError
	return !errors.Is(err, ErrConflict) && !errors.As(err, &c) && !errors.Is(err, ErrUnknown)
}

func TestCommitLimits(t *testing.T) {
	s, _ := fresh(t)
	long := strings.Repeat("k", maxName)
	big := make([]byte, maxValue)
	many := make([]Record, maxChanges)
	for i := range many {
		many[i] = Record{"k", fmt.Sprint(i), []byte{}}
	}
	good := []Commit{
		{Records: []Record{{"k", long, big}, {strings.Repeat("x", maxKind), "k", []byte{}}}},
		{Records: many},
		{Event: big, Entries: []Entry{{ID: long, Group: long, Kind: "k", Seal: func(uint64) ([]byte, error) { return big, nil }}}},
	}
	for _, c := range good {
		commit(t, s, c)
	}
	wantValue(t, s, strings.Repeat("x", maxKind), "k", []byte{})
	bad := map[string]Commit{
		"no event":     {},
		"event":        {Event: make([]byte, maxValue+1)},
		"value":        {Event: big, Records: []Record{{"k", "k", make([]byte, maxValue+1)}}},
		"key":          {Event: big, Records: []Record{{"k", long + "k", big}}},
		"empty key":    {Event: big, Records: []Record{{"k", "", big}}},
		"kind":         {Event: big, Records: []Record{{strings.Repeat("x", maxKind+1), "k", big}}},
		"kind with 0":  {Event: big, Records: []Record{{"a\x00b", "k", big}}},
		"twice":        {Event: big, Records: []Record{{"k", "k", big}, {"k", "k", nil}}},
		"many":         {Event: big, Records: append(many[:len(many):len(many)], Record{"k", "x", big})},
		"no seal":      {Event: big, Entries: []Entry{{ID: "e", Kind: "k"}}},
		"reason":       {Event: big, Park: []Park{{long, ""}}},
		"negative cap": {Event: big, Counts: []Count{{"c", 1, -1}}},
		"commit size": {Event: big, Records: func() (r []Record) {
			for i := range 9 {
				r = append(r, Record{"z", fmt.Sprint(i), big})
			}
			return
		}()},
		"guard no kind": {Event: big, Guards: []Guard{{"", "k", nil}}},
	}
	head := s.Head()
	for name, c := range bad {
		if _, err := s.Commit(context.Background(), c); err == nil || !isOther(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.Head() != head {
		t.Error("a commit beyond the limits was made")
	}
	verify(t, s)
}

// Largest commits from many callers must be split over Badger transactions.
func TestLargeBatch(t *testing.T) {
	s, _ := fresh(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := Commit{Event: []byte("large")}
			for j := range 7 {
				c.Records = append(c.Records, Record{"big", fmt.Sprint(i, j), bytes.Repeat([]byte{byte(i)}, maxValue)})
			}
			if _, err := s.Commit(context.Background(), c); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if r := verify(t, s); r.Head.Seq != 40 || r.Records != 280 {
		t.Errorf("report %+v", r)
	}
}

// 64 callers share syncs; a refused one does not harm the others of its batch.
func TestGroupCommit(t *testing.T) {
	s, dir := fresh(t)
	var syncs atomic.Int64
	var write func([]cell) error
	write = hook(s, func(batch []cell) error { syncs.Add(1); return write(batch) })
	const callers, each = 64, 50
	var wg sync.WaitGroup
	var refused atomic.Int64
	seen := make([]atomic.Bool, callers*each+1)
	for i := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range each {
				c := Commit{Event: fmt.Appendf(nil, "%d/%d", i, j), Records: []Record{{"r", fmt.Sprint(i, j), []byte("v")}}}
				if i%4 == 0 {
					c.Counts = []Count{{"capped", 1, 100}}
				}
				done, err := s.Commit(context.Background(), c)
				var full *CapError
				switch {
				case err == nil:
					if seen[done.Seq].Swap(true) {
						t.Errorf("number %d twice", done.Seq)
					}
				case errors.As(err, &full):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	const want = callers*each*3/4 + 100
	if got := s.Head().Seq; got != want || refused.Load() != callers*each-want {
		t.Errorf("%d commits and %d refused, want %d and %d", got, refused.Load(), want, callers*each-want)
	}
	for seq := 1; seq <= want; seq++ {
		if !seen[seq].Load() {
			t.Fatalf("nobody got number %d", seq)
		}
	}
	if n, err := s.Count("capped"); n != 100 || err != nil {
		t.Errorf("counter %d, %v", n, err)
	}
	if syncs.Load() > want/8 {
		t.Errorf("%d commits took %d syncs", want, syncs.Load())
	}
	t.Logf("%d commits, %d syncs", want, syncs.Load())
	if r := verify(t, reopen(t, s, dir)); r.Head.Seq != want || r.Records != want {
		t.Errorf("after reopening: %+v", r)
	}
}

// A refusal may rest on a commit of the same batch: it is told after that one is
// durable, not before.
func TestRefusalWaitsForTheBatch(t *testing.T) {
	s, _ := fresh(t)
	writes := make(chan struct{})
	var write func([]cell) error
	write = hook(s, func(batch []cell) error { <-writes; return write(batch) })
	answers := make(chan error, 3)
	send := func(c Commit) {
		go func() {
			c.Event = []byte("e")
			_, err := s.Commit(context.Background(), c)
			answers <- err
		}()
	}
	send(Commit{})
	time.Sleep(50 * time.Millisecond) // the committer is in the first write
	for range 2 {
		send(Commit{Guards: []Guard{{"order", "o", nil}}, Records: []Record{{"order", "o", []byte("p")}}})
	}
	time.Sleep(50 * time.Millisecond) // both line up behind it
	writes <- struct{}{}
	if err := <-answers; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answers:
		t.Errorf("answered before the batch was durable: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	writes <- struct{}{}
	first, second := <-answers, <-answers
	if first == nil {
		first = second
	} else if second != nil {
		t.Error(second)
	}
	if !errors.Is(first, ErrConflict) {
		t.Errorf("two commits on one guard: %v", first)
	}
}

func TestEvents(t *testing.T) {
	s, dir := fresh(t)
	var made []Committed
	for i := range 20 {
		made = append(made, commit(t, s, Commit{Event: fmt.Appendf(nil, "e%d", i)}))
	}
	s = reopen(t, s, dir)
	for _, from := range []uint64{0, 1, 7, 20, 21, 1 << 63} {
		next := max(from, 1)
		var prev [32]byte
		err := s.Events(from, func(e Event) error {
			if e.Seq != next || string(e.Payload) != fmt.Sprintf("e%d", next-1) || e.Hash != made[next-1].Hash {
				t.Errorf("from %d: got event %d %q, want %d", from, e.Seq, e.Payload, next)
			}
			if e.Seq != max(from, 1) && e.Prev != prev {
				t.Errorf("event %d does not carry the hash of the one before", e.Seq)
			}
			prev = e.Hash
			next++
			return nil
		})
		if err != nil || from <= 20 && next != 21 {
			t.Errorf("from %d: stopped before %d: %v", from, next, err)
		}
	}
	enough := errors.New("enough")
	if err := s.Events(1, func(Event) error { return enough }); err != enough {
		t.Errorf("callback's error: %v", err)
	}
}

func TestEach(t *testing.T) {
	s, _ := fresh(t)
	commit(t, s, Commit{Records: []Record{{"k", "b2", []byte("2")}, {"k", "a", []byte("0")}, {"k", "b1", []byte("1")}, {"k", "b3", []byte("3")}, {"kk", "b4", []byte("x")}}})
	commit(t, s, Commit{Records: []Record{{"k", "b3", nil}, {"k", "b2", []byte("two")}}})
	for prefix, want := range map[string]string{"": "a=0 b1=1 b2=two ", "b": "b1=1 b2=two ", "b2": "b2=two ", "c": ""} {
		got := ""
		err := s.Each("k", prefix, func(key string, value []byte) error {
			if v, ok, err := s.Get("k", key); err != nil || !ok || !bytes.Equal(v, value) { // reading inside is allowed
				t.Errorf("get %s inside: %q %v %v", key, v, ok, err)
			}
			commit(t, s, Commit{Records: []Record{{"k", "bz" + key, []byte("new")}}}) // and writing, unseen by this Each
			commit(t, s, Commit{Records: []Record{{"k", "bz" + key, nil}}})
			got += key + "=" + string(value) + " "
			return nil
		})
		if err != nil || got != want {
			t.Errorf("prefix %q: got %q, %v, want %q", prefix, got, err, want)
		}
	}
}

// What a thief of the disk can read: kinds and numbers, no names and no values.
func TestNothingReadable(t *testing.T) {
	s, dir := fresh(t)
	secrets := []string{"ORDER-4711", "PAYMENT-ID", "SECRET-VALUE", "SECRET-EVENT", "SECRET-COUNTER", "SECRET-ENTRY", "SECRET-GROUP", "SECRET-REASON"}
	commit(t, s, Commit{
		Records: []Record{{"order", "ORDER-4711", []byte("SECRET-VALUE")}, {"payment", "PAYMENT-ID", []byte("v")}},
		Event:   []byte("SECRET-EVENT"), Counts: []Count{{"SECRET-COUNTER", 1, 0}},
		Entries: []Entry{entry("SECRET-ENTRY", "SECRET-GROUP")},
	})
	commit(t, s, Commit{Park: []Park{{"SECRET-ENTRY", "SECRET-REASON"}}})
	look := func(when string) {
		files := 0
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			b, err := os.ReadFile(path)
			for _, secret := range append(secrets, string(testMaster)) {
				if bytes.Contains(b, []byte(secret)) {
					t.Errorf("%s: %q is readable in %s", when, secret, filepath.Base(path))
				}
			}
			return err
		})
		if err != nil || files < 5 {
			t.Fatalf("%d files: %v", files, err)
		}
	}
	look("open")
	shut(t, s)
	look("closed")
}

func TestClosed(t *testing.T) {
	s, _ := fresh(t)
	commit(t, s, Commit{})
	shut(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	_, err := s.Commit(context.Background(), Commit{Event: []byte("e")})
	_, _, getErr := s.Get("k", "k")
	_, waitErr := s.Waiting(1)
	_, verifyErr := s.Verify()
	for _, err := range []error{err, getErr, waitErr, verifyErr, s.Each("k", "", nil), s.Events(1, nil)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Commit(ctx, Commit{Event: []byte("e")}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
