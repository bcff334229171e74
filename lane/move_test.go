package lane

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tapkeeper/queue"
	"tapkeeper/queue/archive"
)

// machine is what there is of a daemon when it does not run.
func machine(t *testing.T, signer []byte) Config {
	t.Helper()
	dir := t.TempDir()
	master := make([]byte, 32)
	rand.Read(master)
	for name, b := range map[string][]byte{"master": []byte(hex.EncodeToString(master)), "signing.pem": signer} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Config{
		Environment: "test", DataDir: filepath.Join(dir, "data"), Merchant: "tea-house", Terminal: "till-1", TerminalID: "TERM0001",
		Reader: ReaderConfig{Kind: "virtual", Socket: "/nowhere"}, Wallet: WalletConfig{Broker: "mqtt://127.0.0.1:1"},
		Keys: KeysConfig{JournalMaster: filepath.Join(dir, "master"), TerminalSigning: filepath.Join(dir, "signing.pem")},
	}
}

func newSigner(t *testing.T) []byte {
	t.Helper()
	_, signing, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(signing)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// opens says whether a machine has a journal that it works with; it makes none.
func opens(t *testing.T, cfg Config, look func(*queue.Store)) bool {
	t.Helper()
	if !exists(journalDir(cfg)) {
		return false
	}
	if err := holdPlace(cfg); err != nil {
		return false
	}
	source, key, err := loadMaster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	store, _, err := unlock(queue.Options{Dir: journalDir(cfg)}, source, key)
	var gone *queue.HandedOverError
	if errors.As(err, &gone) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if look != nil {
		look(store)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return true
}

// trade gives a machine a journal with payments, one of them refused.
func trade(t *testing.T, cfg Config) {
	t.Helper()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	source, key, err := loadMaster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	store, _, err := unlock(queue.Options{Dir: journalDir(cfg)}, source, key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		id := fmt.Sprintf("e%d", i)
		c := queue.Commit{
			Event: []byte(id), Records: []queue.Record{{Kind: "payment", Key: id, Value: []byte("8.88")}},
			Entries: []queue.Entry{{ID: id, Group: id, Kind: "advice", Priority: queue.PriorityAdvice, Seal: func(seq uint64) ([]byte, error) { return fmt.Appendf(nil, "%s at %d", id, seq), nil }}},
			Counts:  []queue.Count{{Name: "exposure", Delta: 888, Cap: 20 * 888}},
		}
		if i == 7 {
			c.Park = []queue.Park{{ID: "e3", Reason: "refused"}}
		}
		if _, err := store.Commit(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// arrived holds that all of it is there, and goes on.
func arrived(t *testing.T, s *queue.Store) {
	t.Helper()
	waiting, aside := s.Depth()
	list, err := s.Waiting(100)
	if err != nil || waiting != 19 || aside != 1 || len(list) != 19 || !strings.HasPrefix(string(list[0].Body), "e0 at ") {
		t.Errorf("%d waiting, %d aside, %d listed, %v", waiting, aside, len(list), err)
	}
	var full *queue.CapError
	if _, err := s.Commit(context.Background(), queue.Commit{Event: []byte("x"), Counts: []queue.Count{{Name: "exposure", Delta: 1, Cap: 20 * 888}}}); !errors.As(err, &full) {
		t.Errorf("the cap was not carried: %v", err)
	}
	if _, err := s.Verify(); err != nil {
		t.Error(err)
	}
}

func TestMoveJournal(t *testing.T) {
	ctx := context.Background()
	signer := newSigner(t)
	from, to := machine(t, signer), machine(t, signer)
	trade(t, from)
	file := filepath.Join(t.TempDir(), "journal.archive")
	var move *MoveError
	var refused *archive.Refused

	if _, err := ImportKey(from); !errors.As(err, &move) {
		t.Errorf("an import key for a machine with a journal: %v", err)
	}
	if _, err := Export(ctx, from, file, "bob"); !errors.As(err, &refused) {
		t.Errorf("to nobody: %v", err)
	}
	if !opens(t, from, nil) {
		t.Fatal("the journal was closed for nobody")
	}
	recipient, err := ImportKey(to)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ImportKey(to); err != nil || again != recipient {
		t.Errorf("the import key changed: %v", err)
	}
	if err := holdPlace(to); !errors.As(err, &move) {
		t.Errorf("a daemon starts where a journal is awaited: %v", err)
	}
	given, err := Export(ctx, from, file, recipient)
	if err != nil || given.Waiting != 19 || given.Aside != 1 {
		t.Fatal(given, err)
	}
	if opens(t, from, nil) {
		t.Error("the old machine still opens the journal")
	}
	if r, err := Inspect(from); err != nil || r.Head.Seq != given.Sequence {
		t.Errorf("inspected: %+v, %v", r, err)
	}
	if _, err := Export(ctx, from, file, recipient); !errors.As(err, &move) {
		t.Errorf("over the archive: %v", err)
	}
	elsewhere := machine(t, signer)
	other, err := ImportKey(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Export(ctx, from, file+"2", other); !errors.As(err, &move) {
		t.Errorf("to a second machine: %v", err)
	}
	if _, err := Import(ctx, elsewhere, file); !errors.As(err, &refused) {
		t.Errorf("by another machine: %v", err)
	}
	spoiled, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoiled[len(spoiled)/2] ^= 1
	if err := os.WriteFile(file+".bad", spoiled, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(ctx, to, file+".bad"); !errors.As(err, &refused) || exists(journalDir(to)) || exists(importDir(to)) {
		t.Errorf("a changed archive: %v, or something is left", err)
	}
	stranger := to
	stranger.Terminal = "till-2"
	if _, err := Import(ctx, stranger, file); !errors.As(err, &refused) {
		t.Errorf("for another terminal: %v", err)
	}
	if got, err := Import(ctx, to, file); err != nil || got != given {
		t.Fatal(got, err)
	}
	if !opens(t, to, func(s *queue.Store) { arrived(t, s) }) {
		t.Error("the new machine does not open the journal")
	}
	if _, err := Import(ctx, to, file); !errors.As(err, &move) {
		t.Errorf("a second time: %v", err)
	}
	if err := os.RemoveAll(journalDir(to)); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(ctx, to, file); !errors.As(err, &move) {
		t.Errorf("a second time, the journal removed: %v", err)
	}
}

// TestMainMoveChild is the other process of TestMoveKilled.
func TestMainMoveChild(t *testing.T) {
	var job struct {
		From, To        Config
		File, Recipient string
		Die             string
	}
	raw := os.Getenv("LANE_MOVE")
	if raw == "" {
		t.Skip("the other process of TestMoveKilled")
	}
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		t.Fatal(err)
	}
	at := func(prefix string) func(string) {
		return func(step string) {
			if prefix+step == job.Die {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
	if _, err := export(context.Background(), job.From, job.File, job.Recipient, at("export ")); err != nil {
		t.Fatal(err)
	}
	if _, err := importArchive(context.Background(), job.To, job.File, at("import ")); err != nil {
		t.Fatal(err)
	}
}

// A move that is killed after any of its steps, and done again, ends with one owner,
// and never has two on the way.
func TestMoveKilled(t *testing.T) {
	for _, die := range []string{
		"export verified", "export handed over", "export written", "export named",
		"import restored", "import in its place", "import key removed",
	} {
		signer := newSigner(t)
		from, to := machine(t, signer), machine(t, signer)
		trade(t, from)
		recipient, err := ImportKey(to)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "a")
		job, err := json.Marshal(map[string]any{"From": from, "To": to, "File": file, "Recipient": recipient, "Die": die})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestMainMoveChild$")
		cmd.Env = append(os.Environ(), "LANE_MOVE="+string(job))
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%s: %v\n%s", die, err, out.String())
		}
		here, there := opens(t, from, nil), opens(t, to, nil)
		if here && there {
			t.Errorf("killed at %s: two machines own the journal", die)
		}
		if here != (die == "export verified") || there != (die == "import in its place" || die == "import key removed") {
			t.Errorf("killed at %s: here %v, there %v", die, here, there)
		}
		if !there { // the whole move again
			if !exists(file) {
				if _, err := Export(context.Background(), from, file, recipient); err != nil {
					t.Fatalf("killed at %s, exported again: %v", die, err)
				}
			}
			if _, err := Import(context.Background(), to, file); err != nil {
				t.Fatalf("killed at %s, imported again: %v", die, err)
			}
		}
		if opens(t, from, nil) || !opens(t, to, func(s *queue.Store) { arrived(t, s) }) {
			t.Errorf("killed at %s: in the end the journal is not at the new machine alone", die)
		}
		if exists(importKeyPath(to)) || exists(importDir(to)) {
			t.Errorf("killed at %s: a key or a part is left", die)
		}
	}
}
