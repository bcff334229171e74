package lane

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/queue"
	"tapkeeper/queue/vault"
	"tapkeeper/queue/vault/vaulttest"
	"tapkeeper/terminal"
)

// sealMachine seals a machine's master key to a TPM; the file stays.
func sealMachine(t *testing.T, cfg Config, chip *vaulttest.TPM) Config {
	t.Helper()
	from := strings.TrimPrefix(cfg.Keys.JournalMaster, "tpm:")
	to := filepath.Join(t.TempDir(), "master.tpm")
	cfg.Keys.TPMDevice = chip.Device()
	if err := errors.Join(cfg.Validate(), SealKey(cfg, from, to)); err != nil {
		t.Fatal(err)
	}
	cfg.Keys.JournalMaster = "tpm:" + to
	return cfg
}

// startStore is a start, as far as the journal; life is what the daemon does from then
// until it ends.
func startStore(t *testing.T, cfg Config, life func(*Lane)) error {
	t.Helper()
	source, key, err := loadMaster(cfg)
	if err != nil {
		return err
	}
	l := &Lane{cfg: cfg, log: zerolog.Nop()}
	if err = l.openStore(source, key); err == nil {
		if l.counter != nil {
			if err := l.counter.count(t.Context(), 0); err != nil {
				t.Errorf("count: %v", err)
			}
		}
		if life != nil {
			life(l)
		}
	}
	return errors.Join(err, l.Close())
}

func mustStart(t *testing.T, when string, cfg Config) {
	t.Helper()
	if err := startStore(t, cfg, nil); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
}

// refusedCount fails unless a start was refused for the counter's sake, with a way out.
func refusedCount(t *testing.T, when string, err error, says string) {
	t.Helper()
	var e *CounterError
	if !errors.As(err, &e) || !strings.Contains(e.Why, says) || e.Fix == "" || strings.Contains(e.Why+e.Fix, "\n") {
		t.Fatalf("%s: %v, want %q", when, err, says)
	}
	if older := says == "older copy: it was counted"; errors.Is(err, terminal.ErrOldCopy) != older {
		t.Errorf("%s: an older copy: %v", when, !older)
	}
}

func copyJournal(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

// The TPM notices an older copy at the start, without the wallet; an ordinary restart
// is none, and a person can say that the copy is all there is.
func TestCounterOldCopy(t *testing.T) {
	cfg := sealMachine(t, machine(t, newSigner(t)), vaulttest.StartTPM(t))
	journal, backup := journalDir(cfg), filepath.Join(t.TempDir(), "backup")
	for _, when := range []string{"the first start", "a restart", "another"} {
		mustStart(t, when, cfg)
	}
	copyJournal(t, journal, backup)
	mustStart(t, "after the backup", cfg)
	copyJournal(t, backup, journal)
	for range 2 { // a refusal is no count
		refusedCount(t, "the backup", startStore(t, cfg, nil), "older copy: it was counted")
	}
	was, err := Rebind(t.Context(), cfg, "root")
	if err != nil || was == nil || !was.older {
		t.Fatalf("bound by hand: %v, %v", was, err)
	}
	for _, when := range []string{"bound by hand", "restarted"} {
		mustStart(t, when, cfg)
	}
	if was, err = Rebind(t.Context(), cfg, "root"); was != nil || err != nil {
		t.Errorf("bound where nothing was wrong: %v, %v", was, err)
	}
	if err := os.RemoveAll(journal); err != nil {
		t.Fatal(err)
	}
	refusedCount(t, "a journal begun anew", startStore(t, cfg, nil), "another journal")
}

// An hour's count makes an older copy of what was copied before, within one life.
func TestCounterWithinALife(t *testing.T) {
	cfg := sealMachine(t, machine(t, newSigner(t)), vaulttest.StartTPM(t))
	backup := filepath.Join(t.TempDir(), "backup")
	err := startStore(t, cfg, func(l *Lane) {
		copyJournal(t, journalDir(cfg), backup)
		before := l.store.Head()
		if err := l.counter.count(t.Context(), countGap); err != nil || l.store.Head() != before {
			t.Errorf("counted again at once: %v", err)
		}
		if err := l.counter.count(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	copyJournal(t, backup, journalDir(cfg))
	refusedCount(t, "copied in the same life", startStore(t, cfg, nil), "older copy: it was counted")
}

// A daemon counts by itself, once in a minute at the most, also when it ends.
func TestCounterOfADaemon(t *testing.T) {
	cfg := sealMachine(t, machine(t, newSigner(t)), vaulttest.StartTPM(t))
	err := startStore(t, cfg, func(l *Lane) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		lives := func(old time.Duration) uint64 {
			e, err := l.counter.known()
			if err != nil {
				t.Fatal(err)
			}
			e.At = e.At.Add(-old)
			if err := errors.Join(l.counter.write(t.Context(), *e, map[string]any{"why": "time passes"}), l.counting(ctx)); err != nil {
				t.Fatal(err)
			}
			after, err := l.counter.known()
			if err != nil {
				t.Fatal(err)
			}
			return after.Next - e.Next
		}
		if at, again := lives(countGap), lives(0); at != 1 || again != 0 {
			t.Errorf("counted %d times, and %d times again", at, again)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, "after it", cfg)
}

// A count keeps the moment of the last payment, which the clock must not fall behind.
func TestCounterKeepsTheMoment(t *testing.T) {
	cfg := sealMachine(t, machine(t, newSigner(t)), vaulttest.StartTPM(t))
	paid := time.Now().Add(time.Hour)
	event, err := json.Marshal(map[string]any{"at": paid})
	if err != nil {
		t.Fatal(err)
	}
	err = startStore(t, cfg, func(l *Lane) {
		if _, err := l.store.Commit(t.Context(), queue.Commit{Event: event}); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := startStore(t, cfg, func(l *Lane) {
			if at := l.clock.last(); !at.Equal(paid) {
				t.Errorf("the last payment was at %v, want %v", at, paid)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Killed between any two steps, the next start is an ordinary one.
func TestCounterKilled(t *testing.T) {
	chip := vaulttest.StartTPM(t)
	base := machine(t, newSigner(t))
	for i, step := range []string{"unbound", "first", "said", "said"} {
		cfg := base
		cfg.DataDir = filepath.Join(t.TempDir(), "data")
		cfg.Keys.TPMCounter = uint32(vault.CounterIndex + i)
		cfg = sealMachine(t, cfg, chip)
		if step == "said" {
			mustStart(t, step, cfg)
		}
		for range 2 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestMainCounterChild$")
			cmd.Env = append(os.Environ(), "LANE_COUNTER="+strings.Join([]string{cfg.DataDir, cfg.Keys.JournalMaster, chip.Device(), hex.EncodeToString([]byte{byte(i)}), step}, "|"))
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("%q: %v\n%s", step, err, out)
			}
		}
		for range 2 {
			mustStart(t, "killed at "+step, cfg)
		}
	}
}

func TestMainCounterChild(t *testing.T) {
	given := strings.Split(os.Getenv("LANE_COUNTER"), "|")
	if len(given) != 5 {
		t.Skip("the other process of TestCounterKilled")
	}
	i, err := hex.DecodeString(given[3])
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{DataDir: given[0], Keys: KeysConfig{JournalMaster: given[1], TPMDevice: given[2], TPMCounter: vault.CounterIndex + uint32(i[0])}}
	source, key, err := loadMaster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, _, err := unlock(queue.Options{Dir: journalDir(cfg)}, source, key)
	if err != nil {
		t.Fatal(err)
	}
	c := openCounter(cfg, source, store, (&clock{}).last)
	c.at = func(step string) {
		if step == given[4] {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	warning, err := c.start(context.Background())
	t.Fatal(warning, err, c.count(context.Background(), 0))
}

// A TPM that was cleared, a counter that was removed, and the TPM of another board are
// each told by their own words; a person binds the journal anew.
func TestCounterOtherTPM(t *testing.T) {
	chip := vaulttest.StartTPM(t)
	plain := machine(t, newSigner(t))
	cfg := sealMachine(t, plain, chip)
	mustStart(t, "the first start", cfg)
	chip.Undefine(vault.CounterIndex)
	refusedCount(t, "the counter removed", startStore(t, cfg, nil), "was removed")
	rebind := func() {
		t.Helper()
		if was, err := Rebind(t.Context(), cfg, "root"); was == nil || err != nil {
			t.Fatalf("bound by hand: %v, %v", was, err)
		}
		mustStart(t, "bound by hand", cfg)
	}
	rebind()
	chip.Clear()
	var e *vault.Error
	if err := startStore(t, cfg, nil); !errors.As(err, &e) { // the key went with it
		t.Fatalf("cleared: %v", err)
	}
	cfg = sealMachine(t, plain, chip)
	refusedCount(t, "cleared, and the key sealed again", startStore(t, cfg, nil), "this one was cleared")
	rebind()
	other := cfg
	other.Keys.TPMCounter++
	refusedCount(t, "another index", startStore(t, other, nil), "not 0x01805451")
	cfg = sealMachine(t, plain, vaulttest.StartTPM(t))
	refusedCount(t, "another board", startStore(t, cfg, nil), "another TPM")
	rebind()
}

// A journal that comes from another machine is counted by this one's TPM, also where
// that has counted before; the copy that the old machine has of it does not start.
func TestCounterMove(t *testing.T) {
	signer := newSigner(t)
	chip := vaulttest.StartTPM(t)
	from := sealMachine(t, machine(t, signer), vaulttest.StartTPM(t))
	to := sealMachine(t, machine(t, signer), chip)
	mustStart(t, "an earlier journal here", to)
	if err := os.RemoveAll(journalDir(to)); err != nil {
		t.Fatal(err)
	}
	mustStart(t, "the old machine", from)
	backup := filepath.Join(t.TempDir(), "backup")
	copyJournal(t, journalDir(from), backup)
	move := func(from, to Config) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "archive")
		recipient, err := ImportKey(to)
		if err == nil {
			_, err = Export(t.Context(), from, path, recipient)
		}
		if err == nil {
			err = os.Remove(path) // lost: once more
		}
		if err == nil {
			_, err = Export(t.Context(), from, path, recipient)
		}
		if err == nil {
			_, err = Import(t.Context(), to, path)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"imported", "restarted"} {
			mustStart(t, when, to)
		}
	}
	move(from, to)
	copyJournal(t, backup, journalDir(from))
	refusedCount(t, "a copy from before the move", startStore(t, from, nil), "older copy: it was counted")

	plain := machine(t, signer) // and on, to a machine without a TPM
	move(to, plain)
	err := startStore(t, plain, func(l *Lane) {
		if _, ok, err := l.store.Get(kindLane, keyCounter); ok || err != nil || l.counter != nil {
			t.Errorf("without a TPM: %v, %v", ok, err)
		}
		if _, err := l.VerifyJournal(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
