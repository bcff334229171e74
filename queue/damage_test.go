package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// image is a store's directory in memory: size and bytes up to the last that
// is not zero, for Badger's logs are sparse.
type image map[string]imageFile

type imageFile struct {
	size int64
	data []byte
}

func readImage(t testing.TB, dir string) image {
	t.Helper()
	m := make(image)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ballastName {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		m[name] = imageFile{int64(len(b)), bytes.TrimRight(b, "\x00")}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m image) write(t testing.TB, dir string) {
	t.Helper()
	for name, f := range m {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, f.size); err != nil {
			t.Fatal(err)
		}
	}
}

// sample is a store with something of everything, some of it changed, removed
// and parked, in a table and in the log.
type sample struct {
	closed, killed, early image // killed: copied while open; early: before its last commits
	records               map[string]string
	head                  Committed
	dump                  string
}

func makeSample(t testing.TB) sample {
	t.Helper()
	s, dir := fresh(t)
	records := make(map[string]string)
	put := func(i int) {
		key, value := fmt.Sprint("p", i%40), strings.Repeat(fmt.Sprint(i, "|"), 30)
		records[key] = value
		c := Commit{
			Records: []Record{{"payment", key, []byte(value)}}, Event: fmt.Appendf(nil, "event %d", i),
			Counts: []Count{{"sum", int64(i), 0}, {fmt.Sprint("device", i%3), 1, 0}}, Entries: []Entry{entry(fmt.Sprint("e", i), fmt.Sprint("g", i%40))},
		}
		if i%3 == 2 {
			c.Done = []string{fmt.Sprint("e", i-1)}
		}
		if i%5 == 4 {
			c.Park = []Park{{fmt.Sprint("e", i-4), "because"}}
		}
		if i%7 == 6 {
			gone := fmt.Sprint("p", (i-3)%40)
			c.Records = append(c.Records, Record{"payment", gone, nil})
			delete(records, gone)
		}
		if i%15 == 14 { // e(i-4) left at i-3: it cannot be parked
			c.Park = nil
		}
		commit(t, s, c)
	}
	for i := range 60 {
		put(i)
	}
	s = reopen(t, s, dir) // what was in the log is now in a table
	early := readImage(t, dir)
	for i := 60; i < 100; i++ {
		put(i)
	}
	out := sample{killed: readImage(t, dir), early: early, records: records, head: s.Head(), dump: dump(t, s)}
	verify(t, s)
	shut(t, s)
	out.closed = readImage(t, dir)
	return out
}

// dump is everything that a store tells.
func dump(t testing.TB, s *Store) string {
	t.Helper()
	var b strings.Builder
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Each("payment", "", func(key string, value []byte) error {
		_, err := fmt.Fprintf(&b, "payment %s %s\n", key, value)
		return err
	}))
	for _, name := range []string{"sum", "device0", "device1", "device2"} {
		n, err := s.Count(name)
		must(err)
		fmt.Fprintf(&b, "count %s %d\n", name, n)
	}
	must(s.Events(1, func(e Event) error {
		_, err := fmt.Fprintf(&b, "event %d %x %s\n", e.Seq, e.Hash, e.Payload)
		return err
	}))
	for _, list := range []func() ([]Stored, error){func() ([]Stored, error) { return s.Waiting(1000) }, s.Parked} {
		entries, err := list()
		must(err)
		for _, e := range entries {
			fmt.Fprintf(&b, "entry %s %s %d %s %s\n", e.ID, e.Group, e.Seq, e.Body, e.Reason)
		}
	}
	return b.String()
}

// judge opens a damaged image and says how the damage was noticed, or "unused"
// when it makes no difference to anything. A wrong value fails the test.
func (sm *sample) judge(t *testing.T, m image, what string) string {
	t.Helper()
	base := quickDir(t)
	defer os.RemoveAll(base)
	return sm.judgeIn(t, base, m, what)
}

func (sm *sample) judgeIn(t *testing.T, base string, m image, what string) string {
	t.Helper()
	dir := filepath.Join(base, "journal")
	m.write(t, dir)
	s, err := Open(Options{Dir: dir, Master: testMaster})
	var damage *DamageError
	if err != nil {
		if !errors.As(err, &damage) {
			t.Errorf("%s: opening failed with %v, want a *DamageError", what, err)
		}
		return "open"
	}
	defer s.Close()
	for key, value := range sm.records { // before Verify: a reader has not run it either
		got, ok, err := s.Get("payment", key)
		if err == nil && ok && string(got) != value {
			t.Errorf("%s: record %s has a wrong value", what, key)
		}
		if err != nil && !errors.As(err, &damage) {
			t.Errorf("%s: get: %v", what, err)
		}
	}
	report, err := s.Verify()
	if err != nil {
		if !errors.As(err, &damage) {
			t.Errorf("%s: verify: %v", what, err)
		}
		return "verify"
	}
	if s.Head() != sm.head || dump(t, s) != sm.dump {
		t.Errorf("%s: the store differs and nothing noticed", what)
	}
	if len(report.Healed) > 0 {
		return "healed"
	}
	return "unused"
}

// One flipped byte in any file of a closed or a killed store is reported, or
// hits a byte that means nothing; it never gives a wrong value, never a panic.
// Every byte of a table, of the log and of the anchor's pages means something.
func TestFlippedByte(t *testing.T) {
	const seed = 20261124
	sm := makeSample(t)
	for state, m := range map[string]image{"closed": sm.closed, "killed": sm.killed} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			f := m[name]
			if f.size == 0 {
				continue // the lock
			}
			t.Run(state+"/"+filepath.Base(name), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, uint64(len(f.data))))
				used, ours := usedBytes(name, f)
				flips := 8
				if ours {
					flips = scaled(300)
				}
				noticed := make(map[string]int)
				for range flips {
					at, bit := used[random.IntN(len(used))], byte(1)<<random.IntN(8)
					broken := maps.Clone(m)
					data := make([]byte, max(len(f.data), at+1))
					copy(data, f.data)
					data[at] ^= bit
					broken[name] = imageFile{f.size, data}
					how := sm.judge(t, broken, fmt.Sprintf("seed %d, byte %d, bit %#x", seed, at, bit))
					noticed[how]++
					if ours && how == "unused" {
						t.Errorf("seed %d, byte %d, bit %#x: nothing noticed", seed, at, bit)
					}
				}
				t.Logf("%d bytes: %v", f.size, noticed)
			})
		}
	}
}

// usedBytes returns the offsets to flip, and whether each of them carries
// something of ours. A log has a header of 20 bytes, of which 12 serve Badger's
// own encryption only, and zeros behind its end.
func usedBytes(name string, f imageFile) (used []int, ours bool) {
	add := func(from, to int) {
		for i := from; i < to; i++ {
			used = append(used, i)
		}
	}
	switch {
	case name == anchorName:
		for i := range 2 {
			add(int(keyPages[i])*pageSize, int(keyPages[i])*pageSize+keyPageLen)
			add(int(slotPages[i])*pageSize, int(slotPages[i])*pageSize+slotLen)
		}
	case strings.HasSuffix(name, ".mem"):
		add(20, len(f.data))
	case strings.HasSuffix(name, ".sst"):
		add(0, len(f.data))
	default:
		add(0, min(len(f.data)+8, int(f.size)))
		return used, false
	}
	return used, true
}

// Files cut short, emptied or removed.
func TestMissingBytes(t *testing.T) {
	sm := makeSample(t)
	for state, m := range map[string]image{"closed": sm.closed, "killed": sm.killed} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			f := m[name]
			if f.size == 0 || strings.HasSuffix(name, "LOCK") {
				continue
			}
			for _, keep := range []int64{-1, 0, int64(len(f.data)) / 2, int64(len(f.data)) - 1} {
				broken := maps.Clone(m)
				if keep < 0 {
					delete(broken, name)
				} else {
					broken[name] = imageFile{max(keep, 0), f.data[:max(keep, 0)]}
				}
				what := fmt.Sprintf("%s %s cut to %d of %d", state, name, keep, len(f.data))
				how := sm.judge(t, broken, what)
				ours := strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".mem") || name == anchorName || strings.HasSuffix(name, badger.ManifestFilename)
				if ours && how == "unused" {
					t.Errorf("%s: nothing noticed", what)
				}
			}
		}
	}
}

// An old copy of the database beside the present anchor, or the reverse.
func TestRestoredOldCopy(t *testing.T) {
	sm := makeSample(t)
	mix := func(database, rest image) image {
		m := make(image)
		for name, f := range rest {
			if filepath.Dir(name) != databaseName {
				m[name] = f
			}
		}
		for name, f := range database {
			if filepath.Dir(name) == databaseName {
				m[name] = f
			}
		}
		return m
	}
	open := func(m image) error {
		dir := filepath.Join(t.TempDir(), "journal")
		m.write(t, dir)
		s, err := Open(Options{Dir: dir, Master: testMaster})
		if err == nil {
			s.Close()
		}
		return err
	}
	var damage *DamageError
	if err := open(mix(sm.early, sm.closed)); !errors.As(err, &damage) || damage.Seq != 61 {
		t.Errorf("an old database: %v, want the first number missing to be 61", err)
	}
	if err := open(mix(sm.closed, sm.early)); !errors.As(err, &damage) || damage.What != "anchor" {
		t.Errorf("an old anchor: %v", err)
	}
	if err := open(mix(nil, sm.closed)); !errors.As(err, &damage) || damage.Seq != 1 {
		t.Errorf("no database: %v, want the first number missing to be 1", err)
	}
	if err := open(mix(sm.closed, nil)); !errors.As(err, &damage) || damage.What != "anchor" {
		t.Errorf("no anchor: %v", err)
	}
	other := makeSample(t) // the same commits in another store, under another data key
	if err := open(mix(other.closed, sm.closed)); !errors.As(err, &damage) {
		t.Errorf("another store's database: %v", err)
	}
}

// What a clever hand can do to the database behind the store's back, with every
// checksum of Badger right.
func TestTampering(t *testing.T) {
	base := makeSample(t)
	raw := func(s *Store, kind, key string) []byte { return s.ring.cellKey(classRecord, kind, key) }
	stored := func(_ *Store, txn *hand, key []byte) []byte { return txn.get(t, key) }
	readEvent := func(s *Store, seq uint64) (*event, error) {
		v := s.cells.Read()
		defer v.Close()
		e, _, err := s.readEvent(v, seq)
		return e, err
	}
	tests := []struct {
		name string
		do   func(s *Store, txn *hand) error
		want DamageError // What, Key and Seq where set

		atOpen bool // Open must notice it
	}{
		{"value changed", func(s *Store, txn *hand) error {
			k := raw(s, "payment", "p1")
			b := stored(s, txn, k)
			b[len(b)-20] ^= 1
			return txn.Set(k, b)
		}, DamageError{What: "record", Key: "p1"}, false},
		{"number changed", func(s *Store, txn *hand) error {
			k := raw(s, "payment", "p1")
			b := stored(s, txn, k)
			b[7]++
			return txn.Set(k, b)
		}, DamageError{What: "record", Key: "p1"}, false},
		{"two records swapped", func(s *Store, txn *hand) error {
			a, b := raw(s, "payment", "p1"), raw(s, "payment", "p2")
			va, vb := stored(s, txn, a), stored(s, txn, b)
			return errors.Join(txn.Set(a, vb), txn.Set(b, va))
		}, DamageError{What: "record"}, false},
		{"record removed", func(s *Store, txn *hand) error { return txn.Delete(raw(s, "payment", "p1")) }, DamageError{What: "record", Key: "p1"}, false},
		{"record of an earlier commit, well sealed", func(s *Store, txn *hand) error {
			k := raw(s, "payment", "p1")
			return txn.Set(k, s.ring.seal(k, 2, named("p1", []byte("old"))))
		}, DamageError{What: "record", Key: "p1"}, false},
		{"the same value under an earlier number, well sealed", func(s *Store, txn *hand) error {
			k := raw(s, "payment", "p1")
			_, plain, err := s.ring.open(k, stored(s, txn, k))
			return errors.Join(err, txn.Set(k, s.ring.seal(k, 2, plain)))
		}, DamageError{What: "record", Key: "p1"}, false},
		{"record never committed, well sealed", func(s *Store, txn *hand) error {
			k := raw(s, "payment", "px")
			return txn.Set(k, s.ring.seal(k, 2, named("px", []byte("new"))))
		}, DamageError{What: "record"}, false},
		{"counter back to an earlier value", func(s *Store, txn *hand) error {
			k := s.ring.cellKey(classCounter, "", "sum")
			return txn.Set(k, s.ring.seal(k, 100, named("sum", make([]byte, 8))))
		}, DamageError{What: "counter", Key: "sum", Seq: 100}, false},
		{"counter removed", func(s *Store, txn *hand) error { return txn.Delete(s.ring.cellKey(classCounter, "", "sum")) },
			DamageError{What: "counter", Key: "sum", Seq: 100}, false},
		{"event removed", func(s *Store, txn *hand) error { return txn.Delete(eventKey(50)) }, DamageError{What: "event", Seq: 50}, false},
		{"event put elsewhere", func(s *Store, txn *hand) error { return txn.Set(eventKey(50), stored(s, txn, eventKey(51))) },
			DamageError{What: "event", Seq: 50}, false},
		{"event rewritten, well sealed", func(s *Store, txn *hand) error {
			e, err := readEvent(s, 50)
			if err != nil {
				return err
			}
			e.payload = []byte("nothing happened")
			plain, _ := e.encode()
			return txn.Set(eventKey(50), s.ring.seal(eventKey(50), 50, plain))
		}, DamageError{What: "event", Seq: 51}, false},
		{"last event rewritten, well sealed", func(s *Store, txn *hand) error {
			e, err := readEvent(s, 100)
			if err != nil {
				return err
			}
			e.payload = []byte("nothing happened")
			plain, _ := e.encode()
			return txn.Set(eventKey(100), s.ring.seal(eventKey(100), 100, plain))
		}, DamageError{What: "event", Seq: 100}, true},
		{"last event removed", func(s *Store, txn *hand) error { return txn.Delete(eventKey(100)) }, DamageError{What: "event", Seq: 100}, true},
		{"entry removed", func(s *Store, txn *hand) error {
			return txn.Delete(s.ring.cellKey(classEntry, "", s.outbox.find("e99").key()))
		}, DamageError{What: "entry"}, true},
		{"park removed", func(s *Store, txn *hand) error {
			return txn.Delete(s.ring.cellKey(classPark, "", s.outbox.find("e0").key()))
		}, DamageError{What: "park", Key: "e0"}, false},
		{"stranger", func(s *Store, txn *hand) error { return txn.Set([]byte("zzz"), []byte("zzz")) }, DamageError{What: "database"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "journal")
			base.closed.write(t, dir)
			s := open(t, dir)
			txn := &hand{s: s}
			if err := test.do(s, txn); err != nil {
				t.Fatal(err)
			}
			txn.done(t)
			s.show(s.Head(), nil)
			check := func(when string, err error) {
				var d *DamageError
				if !errors.As(err, &d) || d.What != test.want.What || test.want.Key != "" && d.Key != test.want.Key || test.want.Seq != 0 && d.Seq != test.want.Seq {
					t.Errorf("%s: got %v (%+v)", when, err, d)
				}
			}
			_, err := s.Verify()
			check("verify", err)
			shut(t, s)
			s, err = Open(Options{Dir: dir, Master: testMaster})
			if err != nil {
				check("open", err)
			} else if test.atOpen {
				t.Error("the store opens")
				s.Close()
			} else {
				_, err = s.Verify()
				check("verify after reopening", err)
				s.Close()
			}
		})
	}
}
