package queue

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

var nextMaster = bytes.Repeat([]byte{9}, 32)

func openWith(master []byte, dir string) error {
	s, err := Open(Options{Dir: dir, Master: master})
	if err != nil {
		return err
	}
	_, err = s.Verify()
	return errors.Join(err, s.Close())
}

// The master key changes while commits go on.
func TestRewrap(t *testing.T) {
	s, dir := fresh(t)
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
				if _, err := s.Commit(context.Background(), Commit{Event: []byte("e")}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	if err := s.Rewrap(context.Background(), nextMaster, nextMaster); !errors.Is(err, ErrKey) {
		t.Errorf("with a wrong key: %v", err)
	}
	if err := s.Rewrap(context.Background(), testMaster, nextMaster[:31]); !errors.Is(err, ErrKey) {
		t.Errorf("to a short key: %v", err)
	}
	if err := s.Rewrap(context.Background(), testMaster, nextMaster); err != nil {
		t.Error(err)
	}
	close(stop)
	n := <-stopped
	if done := commit(t, s, Commit{}); done.Seq != uint64(n)+1 {
		t.Errorf("%d commits, then number %d", n, done.Seq)
	}
	shut(t, s)
	if err := openWith(testMaster, dir); !errors.Is(err, ErrKey) {
		t.Errorf("with the old key: %v", err)
	}
	if err := openWith(nextMaster, dir); err != nil {
		t.Errorf("with the next key: %v", err)
	}
}

// At each write and sync of a change of keys the disk fails and the power goes:
// one of the two keys opens the journal, and opening it settles which.
func TestRewrapCut(t *testing.T) {
	for seed := range scaled(400) {
		l := newLife(seed)
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		b := l.store.newBatch(nil)
		l.fill(t, b)
		l.finish(t, b)
		l.disk.FailIn = seed % 5 // two writes, two syncs, and none fails
		err := l.store.anchor.rewrap(testMaster, nextMaster)
		if done := l.disk.FailIn >= 0; done != (err == nil) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if l.random.IntN(3) > 0 {
			l.disk.Cut()
		}
		for _, master := range [][]byte{nextMaster, testMaster} { // and again while the other copy is mended
			l.disk.FailIn = l.random.IntN(6)
			if _, err := loadAnchor(l.disk.Open(anchorName), master); err != nil && !errors.Is(err, ErrKey) && l.disk.FailIn >= 0 {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if l.random.IntN(2) == 0 {
				l.disk.Cut()
			}
		}
		l.disk.FailIn = -1
		opened := 0
		for _, master := range [][]byte{testMaster, nextMaster, testMaster} {
			a, err := loadAnchor(l.disk.Open(anchorName), master)
			if err == nil {
				opened++
			} else if !errors.Is(err, ErrKey) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err == nil && a.head != l.store.Head() {
				t.Fatalf("seed %d: the anchor lost its head", seed)
			}
			l.disk.Cut()
		}
		if opened != 1 && opened != 2 { // the old key opens twice when it opens
			t.Fatalf("seed %d: opened %d times of three", seed, opened)
		}
	}
}

// alter changes the format in both copies of the key, well sealed.
func alter(t *testing.T, dir string, to byte) {
	t.Helper()
	path := filepath.Join(dir, anchorName)
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := all[:keyPageLen]
	dataKey, err := unwrapKey(testMaster, page)
	if err != nil {
		t.Fatal(err)
	}
	head := bytes.Clone(page[:keyHeadLen])
	head[len(keyMagic)] = to
	page, err = wrapKey(testMaster, head, dataKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range keyPages {
		copy(all[p*pageSize:], page)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A store of another version is refused and left as it is, byte for byte.
func TestUnknownVersion(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}, Entries: []Entry{entry("e1", "g")}})
	shut(t, s)
	for _, f := range []byte{0, '1', format - 1, format + 1, 255} {
		alter(t, dir, f)
		before := readImage(t, dir)
		if err := openWith(testMaster, dir); !errors.Is(err, ErrVersion) {
			t.Errorf("format %d: %v", f, err)
		}
		for name, file := range readImage(t, dir) {
			if !bytes.Equal(file.data, before[name].data) || file.size != before[name].size {
				t.Errorf("format %d: %s was changed", f, name)
			}
		}
	}
	alter(t, dir, format)
	s = open(t, dir)
	wantValue(t, s, "k", "k", []byte("v"))
	wantIDs(t, s, "e1 ", "")
}

// A migration runs once, before the store is used, and again when it was cut off.
func TestMigration(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Entries: []Entry{entry("e1", "g")}})
	shut(t, s)
	alter(t, dir, format-1)
	runs, fail := 0, true
	migrations[format-1] = func(s *Store) error {
		runs++
		if _, err := s.Commit(context.Background(), Commit{Event: []byte("migrated"), Records: []Record{{"k", "new", []byte("v")}}}); err != nil {
			return err
		}
		if fail {
			return errors.New("cut off")
		}
		return nil
	}
	defer delete(migrations, format-1)
	if err := openWith(testMaster, dir); err == nil {
		t.Error("a migration that was cut off: the store opens")
	}
	fail = false
	for range 2 {
		s := open(t, dir)
		wantValue(t, s, "k", "new", []byte("v"))
		wantIDs(t, s, "e1 ", "")
		verify(t, s)
		shut(t, s)
	}
	if runs != 2 {
		t.Errorf("ran %d times", runs)
	}
}
