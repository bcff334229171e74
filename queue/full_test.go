//go:build linux

package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// childFill runs where SIGBUS may hit: it commits until the gate refuses.
func childFill() {
	s, err := Open(Options{Dir: os.Getenv("QUEUE_DIR"), Master: testMaster})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(3)
	}
	value := make([]byte, 8<<10)
	n := s.Head().Seq
	for {
		c := Commit{Event: []byte("e"), Records: []Record{{"fill", fmt.Sprint(n), value}}}
		if n < 200 {
			c.Entries = []Entry{entry(fmt.Sprint("e", n), "")}
		}
		_, err := s.Commit(context.Background(), c)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			fmt.Println("commit:", err)
			os.Exit(4)
		}
		n++
	}
	if _, _, err := s.Get("fill", "0"); err != nil { // the process is up and reads
		fmt.Println("get:", err)
		os.Exit(5)
	}
	if err := s.Close(); err != nil {
		fmt.Println("close:", err)
		os.Exit(6)
	}
	fmt.Printf("%d", n)
	os.Exit(0)
}

// A disk that fills up makes refusals, not a dead process. When somebody else
// takes the rest, the journal still opens, on its ballast, and settles what it
// holds; freed, it takes new work without a restart, and nothing is lost.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		needed(t, "mounting a small tmpfs needs root")
	}
	mount := t.TempDir()
	resize := func(mib, flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", mount, "tmpfs", flags, fmt.Sprintf("size=%dm", mib)); err != nil {
			needed(t, "mount a tmpfs: "+err.Error())
		}
	}
	const size = 160
	resize(size, 0)
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	dir, hog := filepath.Join(mount, "journal"), filepath.Join(mount, "hog")

	settled := 0
	for round := range 3 {
		resize(uintptr(size+40*round), syscall.MS_REMOUNT)
		var acked int
		out, err := child(t, "fill", dir).Output()
		if err != nil {
			t.Fatalf("filling: %v, %s", err, out)
		}
		if fmt.Sscan(string(out), &acked); acked < 1000 {
			t.Fatalf("full after %d commits: %s", acked, out)
		}
		hogDisk(t, mount, hog)
		s, err := Open(Options{Dir: dir, Master: testMaster})
		if err != nil {
			t.Fatalf("round %d: opening on a full disk: %v", round, err)
		}
		d, err := s.Disk()
		if err != nil || !d.Full || d.Ballast {
			t.Fatalf("round %d: on a full disk: %+v, %v", round, d, err)
		}
		fill := Commit{Event: []byte("e"), Records: []Record{{"more", "0", make([]byte, 8<<10)}}}
		if _, err := s.Commit(context.Background(), fill); !errors.Is(err, ErrFull) {
			t.Errorf("round %d: new work on a full disk: %v", round, err)
		}
		for range 50 {
			commit(t, s, Commit{Done: []string{fmt.Sprint("e", settled)}, Records: []Record{{"receipt", fmt.Sprint(settled), make([]byte, 2000)}}})
			settled++
		}
		if err := os.Remove(hog); err != nil {
			t.Fatal(err)
		}
		resize(uintptr(size+40*(round+1)), syscall.MS_REMOUNT)
		commit(t, s, fill)
		if d, err := s.Disk(); err != nil || d.Full {
			t.Errorf("round %d: freed: %+v, %v", round, d, err)
		}
		if r := verify(t, s); int(r.Head.Seq) != acked+51 || r.Waiting != 200-settled {
			t.Errorf("round %d: %d acknowledged, found %+v", round, acked+51, r)
		}
		shut(t, s)
		if t.Failed() {
			t.FailNow()
		}
	}
}

// hogDisk leaves nothing free.
func hogDisk(t *testing.T, mount, hog string) {
	t.Helper()
	free, err := freeBytes(mount)
	f, e := os.Create(hog)
	if err = errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	err = reserveBytes(f, int64(free))
	if errors.Is(err, syscall.ENOSPC) { // the file system needs some for itself, and has taken all of it
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// The two lines and the ballast between them.
func TestBallast(t *testing.T) {
	s, dir := fresh(t)
	free := uint64(1 << 40)
	s.space.free = func(string) (uint64, error) { return free, nil }
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, ballastName))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	commit(t, s, Commit{Entries: []Entry{entry("e1", ""), entry("e2", "")}})
	if size() < minReserve {
		t.Fatalf("a ballast of %d bytes", size())
	}
	fresh := Commit{Event: []byte("e"), Records: []Record{{"k", "k", []byte("v")}}}
	steps := []struct {
		free        uint64
		takes, ends bool
		ballast     bool
	}{
		{minFree, true, true, true},
		{minFree - 1, false, true, true},
		{minReserve, false, true, true},
		{minReserve - 1, false, false, false}, // the test's disk does not grow by what is given up
		{minReserve, false, true, false},
		{minFree + minReserve + 2*minSlack - 1, false, true, false}, // the ballast comes first
		{minFree + minReserve + 2*minSlack, true, true, true},
	}
	for i, step := range steps {
		free = step.free
		_, err := s.Commit(context.Background(), fresh)
		if takes := err == nil; takes != step.takes || !takes && !errors.Is(err, ErrFull) {
			t.Errorf("step %d: new work: %v", i, err)
		}
		id := fmt.Sprint("x", i)
		_, err = s.Commit(context.Background(), Commit{Event: []byte("e"), Entries: []Entry{entry(id, "")}})
		if ends := err == nil; ends != step.ends || !ends && !errors.Is(err, ErrFull) {
			t.Errorf("step %d: an end: %v", i, err)
		}
		if got := size() > 0; got != step.ballast {
			t.Errorf("step %d: ballast: %v", i, got)
		}
		d, err := s.Disk()
		if err != nil || d.Full == step.takes || d.Ballast != step.ballast || d.Free != free {
			t.Errorf("step %d: %+v, %v", i, d, err)
		}
	}
	verify(t, reopen(t, s, dir))
}
