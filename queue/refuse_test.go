package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A store of another version, or under another key, keeps its ballast on a full
// disk: nothing is given up for a store that is not opened.
func TestRefusedStoreKeepsItsBallast(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{})
	shut(t, s)
	full := func(string) (uint64, error) { return 1 << 20, nil }
	ballast := filepath.Join(dir, ballastName)
	before, err := os.Stat(ballast)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(master []byte, want error) {
		t.Helper()
		if _, err := Open(Options{Dir: dir, Master: master, free: full}); !errors.Is(err, want) {
			t.Errorf("opening says %v, want %v", err, want)
		}
		if after, err := os.Stat(ballast); err != nil || after.Size() != before.Size() {
			t.Errorf("%v: the ballast was touched: %v", want, err)
		}
	}
	refused(nextMaster, ErrKey)
	alter(t, dir, format+1)
	refused(testMaster, ErrVersion)
	alter(t, dir, format)
	if _, err := Open(Options{Dir: dir, Master: testMaster, free: full}); !errors.Is(err, ErrFull) {
		t.Errorf("on a full disk: %v", err)
	}
	if _, err := os.Stat(ballast); err == nil {
		t.Error("the ballast was not given up for a store that opens")
	}
}

// Tables that come within one step of the file system's clock are seen.
func TestTablesWithinOneStep(t *testing.T) {
	dir := t.TempDir()
	p := &space{database: dir}
	add := func(name string, at time.Time) {
		t.Helper()
		err := os.WriteFile(filepath.Join(dir, name), make([]byte, 100), 0o600)
		if err = errors.Join(err, os.Chtimes(dir, at, at), p.measureTables()); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for i, at := range []time.Time{now, now, now.Truncate(time.Second)} { // the last has no finer clock
		add(fmt.Sprint(i, ".sst"), at)
		if want := uint64(100 * (i + 1)); p.tables != want {
			t.Errorf("after %d tables: %d bytes", i+1, p.tables)
		}
	}
	before := now.Add(-time.Hour) // and what has not changed is not read again
	add("3.sst", before)
	add("4.sst", before)
	if p.tables != 400 {
		t.Errorf("%d bytes: a directory that has not changed was read", p.tables)
	}
}

// A file system that cannot set room aside is given zeros to keep.
func TestBallastWithoutFallocate(t *testing.T) {
	s, dir := fresh(t)
	s.space.reserve = func(*os.File, int64) error { return syscall.EOPNOTSUPP }
	commit(t, s, Commit{})
	info, err := os.Stat(filepath.Join(dir, ballastName))
	if err != nil || info.Size() < minReserve || info.Sys().(*syscall.Stat_t).Blocks*512 < info.Size() {
		t.Errorf("the ballast: %v, %v", info, err)
	}
	if d, err := s.Disk(); err != nil || d.Full || !d.Ballast {
		t.Errorf("%+v, %v", d, err)
	}
	s.space.reserve = func(*os.File, int64) error { return syscall.ENOSPC }
	if err := s.space.giveUp(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(context.Background(), Commit{Event: []byte("e")}); !errors.Is(err, ErrFull) {
		t.Errorf("no room for the ballast: %v", err)
	}
}

// A disk that takes no tables makes refusals before Badger would wait for it, with
// the reason, and work goes on when it takes them again.
func TestTablesFail(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}})
	blocks := make([]string, 40) // where the next tables would be
	for i := range blocks {
		blocks[i] = filepath.Join(dir, databaseName, fmt.Sprintf("%06d.sst", i+1))
		if err := os.Mkdir(blocks[i], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	value, n := make([]byte, 30<<10), 0
	fill := func() error {
		n++
		_, err := s.Commit(context.Background(), Commit{Event: []byte("e"), Records: []Record{{"fill", fmt.Sprint(n), value}}})
		return err
	}
	var err error
	for err == nil && n < 2000 {
		err = fill()
	}
	stored := n - 1
	if !errors.Is(err, ErrDisk) || errors.Is(err, ErrUnknown) || stored*len(value) > 3*memTableSize {
		t.Fatalf("after %d commits: %v", stored, err)
	}
	if _, err := s.Commit(context.Background(), Commit{Event: []byte("e"), Entries: []Entry{entry("e", "")}}); !errors.Is(err, ErrDisk) {
		t.Errorf("what ends something: %v", err)
	}
	wantValue(t, s, "k", "k", []byte("v"))
	if d, err := s.Disk(); err != nil || !d.Full || !errors.Is(d.Why, ErrDisk) {
		t.Errorf("%+v, %v", d, err)
	}
	for _, block := range blocks {
		if err := os.Remove(block); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for err = fill(); err != nil && time.Now().Before(deadline); err = fill() {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("healed: %v", err)
	}
	if r := verify(t, reopen(t, s, dir)); r.Records != 1+stored+1 {
		t.Errorf("%d records, want %d", r.Records, stored+2)
	}
}

// A killed inspection leaves its copy; the next one, or the next opening, removes it.
func TestInspectionLeftBehind(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{})
	shut(t, s)
	left := filepath.Join(dir, copyName, "badger")
	for name, look := range map[string]func() error{
		"inspect": func() error { _, err := Inspect(Options{Dir: dir, Master: testMaster}); return err },
		"open":    func() error { return openWith(testMaster, dir) },
	} {
		err := errors.Join(os.MkdirAll(left, 0o700), os.WriteFile(filepath.Join(left, "000001.sst"), []byte("old"), 0o600), look())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Dir(left)); !os.IsNotExist(err) {
			t.Errorf("%s: the copy is still there: %v", name, err)
		}
	}
}

// Files that have no business there, or the wrong kind, make damage or make no
// difference; they end nothing.
func TestOddFiles(t *testing.T) {
	make := func(do func(dir string) error) error {
		t.Helper()
		s, dir := fresh(t)
		commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}})
		shut(t, s)
		if err := do(dir); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: dir, Master: testMaster})
		if err != nil {
			return err
		}
		defer s.Close()
		wantValue(t, s, "k", "k", []byte("v"))
		commit(t, s, Commit{})
		verify(t, s)
		return nil
	}
	write := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	for name, do := range map[string]func(string) error{
		"longer anchor": func(dir string) error { return os.Truncate(filepath.Join(dir, anchorName), 1<<20) },
		"new anchor":    write(anchorName+".new", "half"),
		"-1.mem":        write("badger/-1.mem", ""),
		"word.sst":      write("badger/word.sst", "x"),
		"note":          write("note", "hello"),
		"long lock":     write(lockName, "hello"),
		"big ballast":   write(ballastName, "x"),
	} {
		if err := make(do); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	replace := func(name string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			return errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o700))
		}
	}
	var damage *DamageError
	for name, do := range map[string]func(string) error{
		"a log without a number": write("badger/word.mem", "x"),
		"anchor is empty":        func(dir string) error { return os.Truncate(filepath.Join(dir, anchorName), 0) },
		"a page of the anchor":   func(dir string) error { return os.Truncate(filepath.Join(dir, anchorName), pageSize) },
		"the database is a file": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, databaseName)), write(databaseName, "x")(dir))
		},
		"anchor is a directory": replace(anchorName),
		"lock is a directory":   replace(lockName),
	} {
		err := make(do)
		t.Logf("%s: %v", name, err)
		if err == nil {
			t.Errorf("%s: the store opens", name)
		}
		if name[:2] == "a " && !errors.As(err, &damage) {
			t.Errorf("%s: %v, want damage", name, err)
		}
	}
}
