package lane

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tapkeeper/queue"
	"tapkeeper/queue/vault"
	"tapkeeper/queue/vault/vaulttest"
)

// safe is a journal with its key in a folder, as a machine has them.
type safe struct {
	t    *testing.T
	dir  string
	spec string
	set  vault.Settings
}

func (s safe) journal() string { return filepath.Join(s.dir, "journal") }

func (s safe) source() *vault.Source {
	s.t.Helper()
	source, err := vault.Parse(s.spec, s.set)
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// open opens the journal as a start of the daemon does.
func (s safe) open() (*queue.Store, *vault.Source, *vault.Key, error) {
	s.t.Helper()
	source := s.source()
	key, err := source.Load()
	if err != nil {
		return nil, nil, nil, err
	}
	store, next, err := unlock(queue.Options{Dir: s.journal()}, source, key)
	if next != nil {
		key = next
	}
	return store, source, key, err
}

func (s safe) commit(store *queue.Store, value string) {
	s.t.Helper()
	c := queue.Commit{Event: []byte(value), Records: []queue.Record{{Kind: "k", Key: value, Value: []byte(value)}}}
	if _, err := store.Commit(context.Background(), c); err != nil {
		s.t.Fatal(err)
	}
}

// steps of an exchange, in their order.
var steps = []string{"staged", "read back", "rewrapped", "in its place", ""}

// childRotate exchanges the key, and kills itself at a step.
func TestMainRotateChild(t *testing.T) {
	dir, die, ok := strings.Cut(os.Getenv("LANE_ROTATE"), "|")
	if !ok {
		t.Skip("the other process of TestExchangeKilled")
	}
	s := safe{t: t, dir: dir, spec: os.Getenv("LANE_ROTATE_KEY"), set: vault.Settings{TPM: os.Getenv("LANE_ROTATE_TPM"), PCRs: []int{7}}}
	store, source, key, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	s.commit(store, fmt.Sprintf("before %d", store.Head().Seq))
	next, err := vault.Random()
	if err != nil {
		t.Fatal(err)
	}
	err = exchange(context.Background(), store, source, key, next, func(step string) {
		if step == die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.commit(store, fmt.Sprintf("after %d", store.Head().Seq))
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// An exchange of keys that is killed after any of its steps leaves a journal that
// opens, whole, with what the source has; the start settles what is left, so that
// one key is there and the next exchange begins anew.
func exchangeKilled(t *testing.T, s safe, rounds int) {
	for round := range rounds {
		for _, step := range steps {
			cmd := exec.Command(os.Args[0], "-test.run=^TestMainRotateChild$")
			cmd.Env = append(os.Environ(), "LANE_ROTATE="+s.dir+"|"+step, "LANE_ROTATE_KEY="+s.spec, "LANE_ROTATE_TPM="+s.set.TPM)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("round %d, %q: %v\n%s", round, step, err, out)
			}
			store, source, key, err := s.open()
			if err != nil {
				t.Fatalf("round %d, killed at %q: %v", round, step, err)
			}
			if r, err := store.Verify(); err != nil || r.Records == 0 {
				t.Errorf("round %d, killed at %q: %+v, %v", round, step, r, err)
			}
			if err := errors.Join(store.Close(), key.Close()); err != nil {
				t.Error(err)
			}
			if _, err := source.Next(); err == nil {
				t.Errorf("round %d, killed at %q: a second key is left", round, step)
			}
			if store, _, _, err = s.open(); err != nil { // with the one that is left
				t.Fatalf("round %d, killed at %q, opened again: %v", round, step, err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestExchangeKilled(t *testing.T) {
	s := safe{t: t, dir: t.TempDir()}
	path := filepath.Join(s.dir, "master")
	s.spec = "file:" + path
	first := strings.Repeat("ab", 32)
	if err := os.WriteFile(path, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	exchangeKilled(t, s, 2)
	if now, err := os.ReadFile(path); err != nil || strings.HasPrefix(string(now), first) {
		t.Errorf("after all that the key is the first one: %v", err)
	}
}

// The same with a key that a TPM has sealed.
func TestExchangeKilledTPM(t *testing.T) {
	chip := vaulttest.StartTPM(t)
	s := safe{t: t, dir: t.TempDir(), set: vault.Settings{TPM: chip.Device(), PCRs: []int{7}}}
	s.spec = "tpm:" + filepath.Join(s.dir, "master.tpm")
	key, err := vault.Random()
	if err != nil {
		t.Fatal(err)
	}
	source := s.source()
	if err := errors.Join(source.Stage(key), source.Promote(), key.Close()); err != nil {
		t.Fatal(err)
	}
	exchangeKilled(t, s, 1)
}

// A wrong key, a missing key and a missing TPM change no byte of the journal.
func TestWrongKeyHarmsNothing(t *testing.T) {
	s := safe{t: t, dir: t.TempDir()}
	path := filepath.Join(s.dir, "master")
	s.spec = path
	if err := os.WriteFile(path, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	store, _, _, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	s.commit(store, "a")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, s.journal())
	for _, c := range []struct {
		what  string
		spoil func() error
	}{
		{"wrong", func() error { return os.WriteFile(path, []byte(strings.Repeat("cd", 32)), 0o600) }},
		{"wrong both", func() error { return os.WriteFile(path+".next", []byte(strings.Repeat("ef", 32)), 0o600) }},
		{"missing", func() error { return os.Remove(path) }},
	} {
		what := c.what
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		if store, _, _, err := s.open(); err == nil {
			t.Errorf("%s: it opens", what)
			store.Close()
		}
		if after := contents(t, s.journal()); after != before {
			t.Errorf("%s key: the journal was changed", what)
		}
		os.Remove(path + ".next")
	}
	s.spec, s.set.TPM = "tpm:"+path, "unix:"+filepath.Join(s.dir, "none")
	if err := os.WriteFile(path, []byte(`{"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.open(); err == nil || contents(t, s.journal()) != before {
		t.Errorf("no TPM: %v, or the journal was changed", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.spec = path
	if store, _, _, err = s.open(); err != nil {
		t.Fatalf("with the right key again: %v", err)
	}
	store.Close()
}

// contents are all bytes below a folder.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %d %s\n", path, len(raw), hex.EncodeToString(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
