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
		_, err := s.Commit(context.Background(), Commit{Event: []byte("e"), Records: []Record{{"fill", fmt.Sprint(n), value}}})
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

// A disk that fills up makes refusals, not a dead process; freed, everything
// acknowledged is there.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=96m"); err != nil {
		needed(t, "mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	dir := filepath.Join(mount, "journal")

	var acked uint64
	fill := func() {
		t.Helper()
		out, err := child(t, "fill", dir).Output()
		if err != nil {
			t.Fatalf("filling: %v, %s", err, out)
		}
		fmt.Sscan(string(out), &acked)
	}
	fill()
	if acked < 1000 {
		t.Fatalf("full after %d commits", acked)
	}
	for round := range 3 {
		// Somebody else takes the rest.
		hog := filepath.Join(mount, "hog")
		if free, err := freeBytes(mount); err != nil {
			t.Fatal(err)
		} else if err := os.WriteFile(hog, make([]byte, free), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir, Master: testMaster}); !errors.Is(err, ErrFull) {
			t.Fatalf("round %d: opening on a full disk: %v", round, err)
		}
		if err := os.Remove(hog); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dm", 96+24*(round+1))); err != nil {
			t.Fatal(err)
		}
		before := acked
		fill()
		if acked <= before {
			t.Errorf("round %d: no commit after %d more MiB", round, 24)
		}
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT, "size=400m"); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if r := verify(t, s); r.Head.Seq != acked || r.Records != int(acked) {
		t.Errorf("%d acknowledged, found %+v", acked, r)
	}
	shut(t, s)
	t.Logf("%d acknowledged over 4 fills, 0 lost", acked)
}
