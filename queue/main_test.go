package queue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// The test binary is also the other process of the tests that need one.
func TestMain(m *testing.M) {
	switch os.Getenv("QUEUE_CHILD") {
	case "hold":
		childHold()
	case "workload":
		childWorkload()
	case "fill":
		childFill()
	case "open":
		childOpen()
	case "machine":
		childMachine()
	case "day":
		childDay()
	case "steps":
		childSteps()
	default:
		os.Exit(m.Run())
	}
}

var testMaster = bytes.Repeat([]byte{7}, 32)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, Master: testMaster})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func fresh(t testing.TB) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "journal")
	return open(t, dir), dir
}

func reopen(t testing.TB, s *Store, dir string) *Store {
	t.Helper()
	shut(t, s)
	return open(t, dir)
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func commit(t testing.TB, s *Store, c Commit) Committed {
	t.Helper()
	if c.Event == nil {
		c.Event = []byte("event")
	}
	done, err := s.Commit(context.Background(), c)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return done
}

func verify(t testing.TB, s *Store) Report {
	t.Helper()
	r, err := s.Verify()
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}

// body seals a message that shows its number.
func body(text string) func(uint64) ([]byte, error) {
	return func(seq uint64) ([]byte, error) { return fmt.Appendf(nil, "%s|%d", text, seq), nil }
}

func entry(id, group string) Entry {
	return Entry{ID: id, Group: group, Kind: "advice", Seal: body(id)}
}

func ids(t testing.TB, list []Stored, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, e := range list {
		out += e.ID + " "
	}
	return out
}

func wantIDs(t testing.TB, s *Store, waiting, parked string) {
	t.Helper()
	list, err := s.Waiting(100)
	if got := ids(t, list, err); got != waiting {
		t.Errorf("waiting: got %q, want %q", got, waiting)
	}
	list, err = s.Parked()
	if got := ids(t, list, err); got != parked {
		t.Errorf("parked: got %q, want %q", got, parked)
	}
}

func wantValue(t testing.TB, s *Store, kind, key string, want []byte) {
	t.Helper()
	got, ok, err := s.Get(kind, key)
	if err != nil || ok != (want != nil) || !bytes.Equal(got, want) {
		t.Errorf("%s/%s: got %q, %v, %v, want %q", kind, key, got, ok, err, want)
	}
}

// hooked lets a test stand between the journal and its database.
type hooked struct {
	cells
	write func(batch []cell) error
}

func (h hooked) Write(batch []cell) error { return h.write(batch) }

// hook makes write the database's Write and returns the one before.
func hook(s *Store, write func(batch []cell) error) (before func(batch []cell) error) {
	before = s.cells.Write
	s.cells = hooked{s.cells, write}
	return before
}

// hand changes the database behind the journal's back, with every checksum right.
type hand struct {
	s     *Store
	batch []cell
}

func (h *hand) Set(key, value []byte) error {
	h.batch = append(h.batch, cell{key, value})
	return nil
}

func (h *hand) Delete(key []byte) error { return h.Set(key, nil) }

func (h *hand) get(t testing.TB, key []byte) []byte {
	t.Helper()
	v := h.s.cells.Read()
	defer v.Close()
	value, ok, err := v.Get(key)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return value
}

func (h *hand) done(t testing.TB) {
	t.Helper()
	if err := h.s.cells.Write(h.batch); err != nil {
		t.Fatal(err)
	}
}

// quickDir is a directory in memory where there is one: for tests that ask what
// bytes mean, and not whether they last.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "queue")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// scaled is a count for this run: less with -short, TAPKEEPER_SOAK times as much
// in a soak.
func scaled(n int) int {
	if times, err := strconv.Atoi(os.Getenv("TAPKEEPER_SOAK")); err == nil && times > 0 {
		return n * times
	}
	if testing.Short() {
		return max(1, n/5)
	}
	return n
}

// needed skips for want of a real part, and fails where CI promises it.
func needed(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
