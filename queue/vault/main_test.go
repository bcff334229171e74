package vault

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var testMaster = bytes.Repeat([]byte{0xA5, 0x3C}, Size/2)

func keyOf(t *testing.T, master []byte) *Key {
	t.Helper()
	k, err := newKey(func(b []byte) error { copy(b, master); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// shows fails unless a key is the one expected.
func shows(t *testing.T, k *Key, err error, want []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.Use(func(b []byte) error {
		if !bytes.Equal(b, want) {
			return errors.New("another key")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// refusedAs fails unless an error names the cause and a fix in one line each.
func refusedAs(t *testing.T, what string, err error, says string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Fix == "" || strings.Contains(e.Error()+e.Fix, "\n") || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: got %v, want one line with %q and a fix", what, err, says)
	}
}

// A private TPM that ends with the test.
type swtpm struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

func startTPM(t *testing.T) *swtpm {
	t.Helper()
	path, err := exec.LookPath("swtpm")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("swtpm is missing: %v", err)
		}
		t.Skipf("swtpm is missing: %v", err)
	}
	dir, err := os.MkdirTemp("", "tpm") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &swtpm{t: t, dir: dir}
	t.Cleanup(func() { s.stop(); os.RemoveAll(dir) })
	s.start(path)
	return s
}

func (s *swtpm) device() string { return "unix:" + filepath.Join(s.dir, "s") }

// start is also a start of the machine: the PCRs begin anew.
func (s *swtpm) start(path string) {
	s.t.Helper()
	s.cmd = exec.CommandContext(context.Background(), path, "socket", "--tpm2", "--tpmstate", "dir="+s.dir,
		"--server", "type=unixio,path="+filepath.Join(s.dir, "s"), "--ctrl", "type=unixio,path="+filepath.Join(s.dir, "c"),
		"--flags", "not-need-init,startup-clear")
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(s.dir, "s")); err == nil {
			return
		}
		if time.Now().After(until) {
			s.t.Fatalf("swtpm does not start: %s", out.String())
		}
	}
}

func (s *swtpm) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	os.Remove(filepath.Join(s.dir, "s"))
}

func (s *swtpm) restart() {
	path := s.cmd.Path
	s.stop()
	s.start(path)
}
