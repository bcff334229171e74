package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapkeeper/till"
)

// secluded is the real program on a furnished folder, as a user of its own where the
// test may make it one.
type secluded struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	log bytes.Buffer
}

// nobody owns nothing else on the machine.
const nobody = 65534

func startSecluded(t *testing.T) *secluded {
	t.Helper()
	dir, err := os.MkdirTemp("", "mem") // t.TempDir is too long for a socket, and root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := furnish(dir); err != nil {
		t.Fatal(err)
	}
	s := &secluded{t: t, dir: dir}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(filepath.Join(dir, "tapkeeper"), "serve", "--config", filepath.Join(dir, "tapkeeper.toml"))
	s.cmd.Dir, s.cmd.Stderr = dir, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	raw, err := os.ReadFile(self) // testscript runs the program by its name
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "tapkeeper"), raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		s.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, nobody, nobody))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	client := till.NewClient(filepath.Join(dir, "till.sock"))
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := client.Status(context.Background()); err == nil {
			return s
		}
		if time.Now().After(until) {
			t.Fatalf("the daemon does not start:\n%s", s.log.String())
		}
	}
}

func (s *secluded) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, name)
}

func (s *secluded) line(file, pattern string) string {
	s.t.Helper()
	raw, err := os.ReadFile(s.proc(file))
	if err != nil {
		s.t.Fatal(err)
	}
	return regexp.MustCompile(pattern).FindString(string(raw))
}

// place is a mapping that holds something, and how often.
type place struct {
	mapping string
	times   int
}

// find reads the whole memory of the process, as root can, also what nobody may
// read by its protection. What is searched for has at most 64 bytes.
func (s *secluded) find(needles map[string][]byte) (places map[string][]place, searched int64) {
	s.t.Helper()
	places = make(map[string][]place)
	maps, err := os.Open(s.proc("maps"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open(s.proc("mem"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer mem.Close()
	const most = 64
	buf := make([]byte, 1<<20)
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); err != nil || strings.HasSuffix(lines.Text(), "[vsyscall]") || strings.HasSuffix(lines.Text(), "[vvar]") {
			continue
		}
		found := make(map[string]int)
		for at := from; at < to; {
			got, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if got == 0 { // a page that is not there
				at += int64(os.Getpagesize())
				continue
			}
			searched += int64(got)
			next := at + int64(got)
			if next < to && got > most {
				next -= most // something may begin here and end in the next piece
			}
			for name, what := range needles {
				for rest, base := buf[:got], at; ; {
					i := bytes.Index(rest, what)
					if i < 0 {
						break
					}
					if base += int64(i); base < next {
						found[name]++
					}
					rest, base = rest[i+1:], base+1
				}
			}
			at = next
		}
		for name, n := range found {
			places[name] = append(places[name], place{lines.Text(), n})
		}
	}
	return places, searched
}

// TestSecluded looks at the running program from outside: its master key is in one
// locked page and nowhere else, no core file can be made of it, and other
// processes of its user cannot look into it.
func TestSecluded(t *testing.T) {
	s := startSecluded(t)
	if limit := s.line("limits", `Max core file size +\S+ +\S+`); !regexp.MustCompile(`size +0 +0$`).MatchString(limit) {
		t.Errorf("core files: %q", limit)
	}
	if locked := s.line("status", `VmLck:\s+\d+ kB`); locked == "" || strings.HasSuffix(locked, "\t       0 kB") {
		t.Errorf("nothing is locked: %q", locked)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root looks into a process that others cannot look into")
	}
	if info, err := os.Stat(s.proc("mem")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the memory belongs to the daemon's user: %v", err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--socket", filepath.Join(s.dir, "till.sock"), "queue", "verify"}, &out, &errs); code != exitOK {
		t.Fatalf("verify: %s", errs.String())
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, "keys/journal-master"))
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.TrimSpace(raw)
	master, err := hex.DecodeString(string(text))
	if err != nil {
		t.Fatal(err)
	}
	places, searched := s.find(map[string][]byte{
		"program": []byte("tapkeeper"), "key": master, "first half": master[:16], "second half": master[16:],
		"in hex": text[:32], "in capitals": bytes.ToUpper(text[32:]),
	})
	// A search that finds nothing proves nothing.
	if len(places["program"]) == 0 || searched < 8<<20 {
		t.Fatalf("the search does not work: %d bytes, %v", searched, places)
	}
	for _, name := range []string{"key", "first half", "second half"} {
		if p := places[name]; len(p) != 1 || p[0].times != 1 || !strings.Contains(p[0].mapping, " ---p ") {
			t.Errorf("%s: found in %v, want one page that cannot be read", name, p)
		}
	}
	for _, name := range []string{"in hex", "in capitals"} {
		if p := places[name]; len(p) > 0 {
			t.Errorf("%s: found in %v", name, p)
		}
	}
	t.Logf("searched %d MiB", searched>>20)
	if locked := s.lockedPages(); locked != 1 {
		t.Errorf("%d mappings are locked and left out of core files, want 1", locked)
	}
	if err := s.cmd.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.CoreDump() {
		t.Error("it left a core file")
	}
}

// lockedPages counts mappings that are locked (lo) and never dumped (dd).
func (s *secluded) lockedPages() (n int) {
	raw, err := os.ReadFile(s.proc("smaps"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, flags := range regexp.MustCompile(`(?m)^VmFlags:.*$`).FindAllString(string(raw), -1) {
		if strings.Contains(flags, " lo") && strings.Contains(flags, " dd") {
			n++
		}
	}
	return n
}
