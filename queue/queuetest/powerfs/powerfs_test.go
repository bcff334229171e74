//go:build linux

package powerfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The test binary is also the program that maps a file of the file system into
// its memory.
func TestMain(m *testing.M) {
	if path := os.Getenv("POWERFS_MAP"); path != "" {
		if err := mapped(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mapped stores "synced" through a map, syncs another descriptor of the file, and
// then stores more.
func mapped(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Truncate(4 * pageSize); err != nil {
		return err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, 4*pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	other, err := os.Open(path)
	if err != nil {
		return err
	}
	copy(b, "synced")
	if err := syscall.Fdatasync(int(other.Fd())); err != nil {
		return err
	}
	copy(b[pageSize:], "not synced")
	return nil
}

// mounted is a mounted disk; settle cuts the power, and returns what survives by
// path.
func mounted(t *testing.T) (d *Disk, dir string, settle func(Survival) map[string]string) {
	t.Helper()
	d, dir = NewDisk(1<<30), t.TempDir()
	unmount, err := d.Mount(dir)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unmount() })
	return d, dir, func(s Survival) map[string]string {
		t.Helper()
		d.Cut()
		if err := unmount(); err != nil {
			t.Fatal(err)
		}
		d.Settle(rand.New(rand.NewPCG(1, uint64(s))), s)
		return exported(t, d)
	}
}

func exported(t *testing.T, d *Disk) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := d.Export(dir); err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func write(t *testing.T, path, text string, sync bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSyncedSurvives(t *testing.T) {
	_, dir, settle := mounted(t)
	write(t, filepath.Join(dir, "synced"), "old", true)
	syncDir(t, dir)
	write(t, filepath.Join(dir, "synced"), "new", false)
	write(t, filepath.Join(dir, "name.new"), "whole", true)
	if err := os.Rename(filepath.Join(dir, "name.new"), filepath.Join(dir, "name")); err != nil {
		t.Fatal(err)
	}
	syncDir(t, dir)
	write(t, filepath.Join(dir, "never"), "lost", false)
	got := settle(Nothing)
	if got["synced"] != "old" || got["name"] != "whole" || got["name.new"] != "" || got["never"] == "lost" {
		t.Errorf("survived: %q", got)
	}
}

// A sync of the bytes makes the name durable as far as it had changed before, a
// rename after it is lost or survives with all that came before it.
func TestNamesSurviveInOrder(t *testing.T) {
	seen := make(map[string]bool)
	for seed := range uint64(40) {
		d, dir, _ := mounted(t)
		for _, name := range []string{"a", "b", "c"} {
			write(t, filepath.Join(dir, name), name, true)
		}
		for _, name := range []string{"a", "b", "c"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		d.Cut()
		d.Settle(rand.New(rand.NewPCG(seed, 1)), Nothing)
		got := ""
		for _, name := range []string{"a", "b", "c"} {
			if exported(t, d)[name] != "" {
				got += name
			}
		}
		seen[got] = true
	}
	if len(seen) != 4 || !seen["abc"] || !seen["bc"] || !seen["c"] || !seen[""] {
		t.Errorf("the outcomes were %v, want each beginning of the removals", seen)
	}
}

// What a program stores through a map comes with the sync of any descriptor, and
// what it stores later does not.
func TestMap(t *testing.T) {
	d, dir, settle := mounted(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "POWERFS_MAP="+filepath.Join(dir, "log"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	if requests, syncs := d.Counts(); syncs != 1 || requests < 3 {
		t.Errorf("%d requests and %d syncs arrived", requests, syncs)
	}
	log := settle(Nothing)["log"]
	if len(log) != 4*pageSize || log[:6] != "synced" || len(bytes.Trim([]byte(log[6:]), "\x00")) != 0 {
		t.Errorf("of the log survived %d bytes: %.20q, %.20q", len(log), log, log[min(len(log), pageSize):])
	}
}

func TestFaults(t *testing.T) {
	d, dir, settle := mounted(t)
	path := filepath.Join(dir, "file")
	write(t, path, "old", true)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	store := func(text string) error {
		if _, err := f.WriteAt([]byte(text), 0); err != nil {
			return err
		}
		return f.Sync()
	}
	d.Arm(0)
	d.FailSync(1)
	if err := store("bad"); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync that is to fail: %v", err)
	}
	if err := f.Sync(); err != nil { // the kernel has nothing to write, and says so
		t.Errorf("the sync after it: %v", err)
	}
	d.ReadOnly(true)
	if err := store("bad"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("read-only: %v", err)
	}
	if _, err := os.Create(path + "2"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a new file, read-only: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 3 {
		t.Errorf("reading: %q, %v", b, err)
	}
	d.ReadOnly(false)
	f.Close()
	if got := settle(Nothing)["file"]; got != "old" {
		t.Errorf("survived %q: what a failed sync has forgotten was brought by a later one", got)
	}
}

// The power goes at the request that was named, and nothing is taken after it.
func TestArmed(t *testing.T) {
	d, dir, settle := mounted(t)
	write(t, filepath.Join(dir, "file"), "old", true)
	d.Arm(2)
	f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("new"), 0); err != nil {
		t.Errorf("the first request: %v", err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the second: %v", err)
	}
	<-d.Dead()
	f.Close()
	if got := settle(Nothing)["file"]; got != "old" {
		t.Errorf("survived %q", got)
	}
}

func TestTornPages(t *testing.T) {
	old, seen := new(page), new(page)
	copy(seen[:], bytes.Repeat([]byte{1}, pageSize))
	random := rand.New(rand.NewPCG(1, 1))
	torn := survivor(old, seen, random, Sectors)
	ones := bytes.Count(torn[:], []byte{1})
	if ones == 0 || ones == pageSize || ones%sectorSize != 0 {
		t.Errorf("%d bytes of %d survived", ones, pageSize)
	}
	if *survivor(nil, seen, random, Nothing) != *old || survivor(old, seen, random, Everything) != seen {
		t.Error("nothing and everything are something else")
	}
}
