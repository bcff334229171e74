package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk: on a disk that fills up a payment is refused before a phone is
// read, with its reason; the status says why; and when there is room again, the same
// daemon takes payments.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("not root")
		}
		t.Skip("only root can give the daemon a small disk")
	}
	var disk string
	s := startSecluded(t, func(dir string) {
		disk = filepath.Join(dir, "data")
		if err := os.Mkdir(disk, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=128m,mode=0700"); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("no small disk can be made: %v", err)
			}
			t.Skipf("no small disk can be made: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	})
	ask := func(args ...string) (int, string) {
		var out bytes.Buffer
		args = append([]string{"--socket", filepath.Join(s.dir, "till.sock")}, args...)
		return run(t.Context(), args, &out, &out), out.String()
	}
	if _, said := ask("status"); !strings.Contains(said, "MiB free") || strings.Contains(said, "FULL") {
		t.Fatalf("before: %s", said)
	}
	hog, err := os.Create(filepath.Join(disk, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer hog.Close()
	block := make([]byte, 1<<20)
	for range 128 {
		if _, err := hog.Write(block); err != nil {
			break
		}
		if _, said := ask("status"); strings.Contains(said, "FULL") {
			break
		}
	}
	code, said := ask("status")
	if code != exitUnavailable || !strings.Contains(said, "error: disk: FULL, no new payments") || !strings.Contains(said, "hint: free disk space") {
		t.Errorf("full: status %d, %s", code, said)
	}
	before := time.Now()
	code, said = ask("pay", "12.50", "--order", "full")
	if code != exitUnavailable || !strings.Contains(said, "too little free space") || time.Since(before) > 5*time.Second {
		t.Errorf("a payment on a full disk: status %d after %s, %s", code, time.Since(before), said)
	}
	if _, said := ask("show", "--order", "full"); !strings.Contains(said, "no such payment") {
		t.Errorf("it left something: %s", said)
	}
	if err := hog.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if code, said = ask("pay", "12.50", "--order", "again", "--expires", "5s"); strings.Contains(said, "free space") {
		t.Errorf("with room again: status %d, %s", code, said)
	}
	if _, said := ask("show", "--order", "again"); !strings.Contains(said, "order again, attempt 1") {
		t.Errorf("with room again: %s", said)
	}
}
