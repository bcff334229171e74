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

	"tapkeeper/queue/vault"
	"tapkeeper/queue/vault/vaulttest"
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

// prepare, if any, changes the folder before the daemon gets it.
func startSecluded(t *testing.T, prepare func(dir string)) *secluded {
	t.Helper()
	dir, err := os.MkdirTemp("", "mem") // t.TempDir is too long for a socket, and root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := furnish(dir); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(dir)
	}
	s := &secluded{t: t, dir: dir}
	// As merchants run it: the race detector holds the copying of a key up for so long that a signal
	// may come in between, which puts the registers, and the key in them, on a stack of its own.
	built := filepath.Join(buildAll(t, "./cmd/tapkeeper"), "tapkeeper")
	s.cmd = exec.Command(filepath.Join(dir, "tapkeeper"), "serve", "--config", filepath.Join(dir, "tapkeeper.toml"))
	s.cmd.Dir, s.cmd.Stderr = dir, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	raw, err := os.ReadFile(built)
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
	s := startSecluded(t, nil)
	if limit := s.line("limits", `Max core file size +\S+ +\S+`); !regexp.MustCompile(`size +0 +0$`).MatchString(limit) {
		t.Errorf("core files: %q", limit)
	}
	if locked := s.line("status", `VmLck:\s+\d+ kB`); locked == "" || strings.HasSuffix(locked, "\t       0 kB") {
		t.Errorf("nothing is locked: %q", locked)
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("not root")
		}
		t.Skip("only root looks into a process that others cannot look into")
	}
	if info, err := os.Stat(s.proc("mem")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the memory belongs to the daemon's user: %v", err)
	}
	s.tool("queue", "verify")
	first := s.fileKey()
	s.onlyInItsPage("at the start", first)
	// And after an exchange: the new key as the old one, and of that nothing.
	s.tool("queue", "rotate-key")
	second := s.fileKey()
	s.onlyInItsPage("after an exchange", second)
	if places, _ := s.find(map[string][]byte{"old": first}); bytes.Equal(first, second) || len(places["old"]) > 0 {
		t.Errorf("the old key is still in %v", places["old"])
	}
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

// tool runs a verb against the daemon.
func (s *secluded) tool(args ...string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"--socket", filepath.Join(s.dir, "till.sock")}, args...)
	if code := run(s.t.Context(), args, &out, &errs); code != exitOK {
		s.t.Fatalf("%q: %s", args, errs.String())
	}
}

// fileKey is the key as its file has it.
func (s *secluded) fileKey() []byte {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "keys/journal-master"))
	if err != nil {
		s.t.Fatal(err)
	}
	master, err := hex.DecodeString(string(bytes.TrimSpace(raw)))
	if err != nil {
		s.t.Fatal(err)
	}
	return master
}

// onlyInItsPage searches the memory for a key, and for its halves and its text.
func (s *secluded) onlyInItsPage(when string, master []byte) {
	s.t.Helper()
	text := []byte(hex.EncodeToString(master))
	places, searched := s.find(map[string][]byte{
		"program": []byte("tapkeeper"), "key": master, "first half": master[:16], "second half": master[16:],
		"in hex": text[:32], "in capitals": bytes.ToUpper(text[32:]),
	})
	// A search that finds nothing proves nothing.
	if len(places["program"]) == 0 || searched < 8<<20 {
		s.t.Fatalf("the search does not work: %d bytes, %v", searched, places)
	}
	for _, name := range []string{"key", "first half", "second half"} {
		if p := places[name]; len(p) != 1 || p[0].times != 1 || !strings.Contains(p[0].mapping, " ---p ") {
			s.t.Errorf("%s, %s: found in %v, want one page that cannot be read", when, name, p)
		}
	}
	for _, name := range []string{"in hex", "in capitals"} {
		if p := places[name]; len(p) > 0 {
			s.t.Errorf("%s, %s: found in %v", when, name, p)
		}
	}
	s.t.Logf("%s: searched %d MiB", when, searched>>20)
}

// TestSealedKey: a key of the TPM, from the tool's first step to a changed machine.
func TestSealedKey(t *testing.T) {
	chip := vaulttest.StartTPM(t)
	if err := os.Chmod(strings.TrimPrefix(filepath.Dir(chip.Device()), "unix:"), 0o755); err != nil { // the daemon is another user
		t.Fatal(err)
	}
	open := func() {
		if err := os.Chmod(strings.TrimPrefix(chip.Device(), "unix:"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	open()
	var config string
	s := startSecluded(t, func(dir string) {
		config = filepath.Join(dir, "tapkeeper.toml")
		blob := filepath.Join(dir, "keys/journal-master.tpm")
		raw, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.Replace(raw, []byte("journal_master = \""+filepath.Join(dir, "keys/journal-master")+"\""),
			fmt.Appendf(nil, "tpm_device = %q\ntpm_pcrs = [7]\njournal_master = %q", chip.Device(), "tpm:"+blob), 1)
		if err := os.WriteFile(config, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if code := run(t.Context(), []string{"queue", "seal-key", "--config", config, "--from", filepath.Join(dir, "keys/journal-master"), "--to", blob}, &out, &out); code != exitOK {
			t.Fatalf("seal-key: %s", out.String())
		}
	})
	s.tool("queue", "verify")
	if os.Geteuid() == 0 {
		s.onlyInItsPage("unsealed", s.fileKey())
	}
	s.tool("queue", "rotate-key")
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()

	serve := func() (int, string) {
		cmd := exec.Command(s.cmd.Path, "serve", "--config", config)
		cmd.Dir, cmd.SysProcAttr = s.dir, s.cmd.SysProcAttr
		var errs bytes.Buffer
		cmd.Stderr = &errs
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Signal(os.Interrupt) })
		defer timer.Stop()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode(), errs.String()
	}
	chip.Extend(7)
	code, said := serve()
	if code != exitConfig || !strings.Contains(said, "PCR 7 differ from what it was sealed to") || !strings.Contains(said, "hint: after a wanted change of firmware") {
		t.Errorf("a changed PCR: status %d, %s", code, said)
	}
	chip.Restart()
	open()
	out, err := exec.Command(s.cmd.Path, "queue", "verify", "--config", config).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all fit") {
		t.Errorf("the machine as it was, with the exchanged key: %v, %s", err, out)
	}
	chip.Undefine(vault.CounterIndex)
	if code, said := serve(); code != exitConfig || !strings.Contains(said, "the TPM's counter (index 0x01805450) was removed") || !strings.Contains(said, "tapkeeper queue rebind") {
		t.Errorf("the counter removed: status %d, %s", code, said)
	}
	rebind := exec.Command(s.cmd.Path, "queue", "rebind", "--config", config)
	rebind.Dir, rebind.SysProcAttr = s.dir, s.cmd.SysProcAttr
	if out, err := rebind.CombinedOutput(); err != nil || !strings.Contains(string(out), "bound to the TPM's counter; before: journal: the TPM's counter") {
		t.Errorf("bound by hand: %v, %s", err, out)
	}
	chip.Stop()
	if code, said := serve(); code != exitConfig || !strings.Contains(said, "TPM unix:") {
		t.Errorf("no TPM: status %d, %s", code, said)
	}
}
