package lane

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tapkeeper/queue"
	"tapkeeper/queue/archive"
	"tapkeeper/queue/vault"
)

// MoveError says why a journal is not carried, and what to do.
type MoveError struct{ Why, Fix string }

func (e *MoveError) Error() string { return e.Why }

// Moved is a journal that was carried.
type Moved struct {
	Archive  string `json:"archive"`
	Sequence uint64 `json:"sequence"` // of its last event on the old machine
	Hash     string `json:"hash"`
	Records  int    `json:"records"`
	Waiting  int    `json:"waiting"`
	Aside    int    `json:"aside"`
}

func movedOf(archive string, r queue.Report) Moved {
	return Moved{archive, r.Head.Seq, hex.EncodeToString(r.Head.Hash[:]), r.Records, r.Waiting, r.Aside}
}

func importDir(cfg Config) string { return journalDir(cfg) + ".importing" }

func importKeyPath(cfg Config) string { return filepath.Join(cfg.DataDir, "import-key") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// holdPlace keeps a daemon from making a new journal where one is about to arrive.
func holdPlace(cfg Config) error {
	switch {
	case exists(journalDir(cfg)):
		// A key that was used, or is of no use any more: an archive is taken only where no journal is.
		return errors.Join(drop(importKeyPath(cfg)), os.RemoveAll(importDir(cfg)))
	case exists(importDir(cfg)), exists(importKeyPath(cfg)):
		return &MoveError{"this machine waits for the journal of another one",
			"tapkeeper queue import FILE; or, if none will come, remove " + importKeyPath(cfg)}
	}
	return nil
}

// own keeps root from leaving files that the daemon cannot open.
func own(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if exists(cfg.DataDir) && ownerOf(cfg.DataDir) != os.Geteuid() {
		return &MoveError{cfg.DataDir + " belongs to another user", "do it as that user: sudo -u tapkeeper tapkeeper queue ..."}
	}
	return nil
}

func drop(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ImportKey makes the key that one archive can be sealed to, and returns its public
// half. Asked again before it is used, it returns the same.
func ImportKey(cfg Config) (recipient string, err error) {
	if err := own(cfg); err != nil {
		return "", err
	}
	if exists(journalDir(cfg)) {
		return "", &MoveError{"this machine has a journal of its own", "a journal can only be brought to a machine without one"}
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return "", &PartError{"journal", err}
	}
	key, err := readImportKey(cfg)
	if err == nil {
		return key.Recipient(), nil
	}
	if exists(importKeyPath(cfg)) {
		return "", err
	}
	if key, err = archive.NewKey(); err != nil {
		return "", err
	}
	text, err := key.Text()
	if err != nil {
		return "", err
	}
	defer clear(text)
	if err := writeDurably(importKeyPath(cfg), func(w io.Writer) error { _, err := w.Write(text); return err }, func(string) {}); err != nil {
		return "", &PartError{"import key", err}
	}
	return key.Recipient(), nil
}

func readImportKey(cfg Config) (*archive.Key, error) {
	raw, err := readSecret("import key", importKeyPath(cfg))
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	key, err := archive.ParseKey(raw)
	if err != nil {
		return nil, &KeyError{"import key", importKeyPath(cfg), err.Error()}
	}
	return key, nil
}

// Export writes the whole journal into a file that only the recipient opens, and
// closes the journal here for good. It may be repeated for the same recipient: the
// journal is handed over once, its archive may be written as often as it is lost.
func Export(ctx context.Context, cfg Config, path, recipient string) (Moved, error) {
	return export(ctx, cfg, path, recipient, func(string) {})
}

// export follows the steps of "Moving" in docs/durability.md; at is told of each.
func export(ctx context.Context, cfg Config, path, recipient string, at func(step string)) (m Moved, err error) {
	if err := own(cfg); err != nil {
		return m, err
	}
	signer, err := readSigner(cfg.Keys.TerminalSigning)
	if err != nil {
		return m, err
	}
	if err := archive.CheckRecipient(recipient); err != nil {
		return m, err
	}
	if exists(path) {
		return m, &MoveError{path + " is there already", "name another file; an archive is never written over"}
	}
	if !exists(journalDir(cfg)) {
		return m, &PartError{"journal", fmt.Errorf("there is none in %s: %w", cfg.DataDir, fs.ErrNotExist)}
	}
	source, key, err := loadMaster(cfg)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	store, next, err := unlock(queue.Options{Dir: journalDir(cfg), HandedOver: true}, source, key)
	if err != nil {
		return m, &PartError{"journal", err}
	}
	defer func() { err = errors.Join(err, store.Close(), next.Close()) }()
	if _, err := store.Verify(); err != nil { // damage stays where its evidence is
		return m, &PartError{"journal", err}
	}
	at("verified")
	if err := countExported(ctx, cfg, source, store); err != nil {
		return m, err
	}
	given, err := handOver(ctx, store, recipient)
	if err != nil {
		return m, err
	}
	at("handed over")
	report, err := store.Verify()
	if err != nil {
		return m, &PartError{"journal", err}
	}
	head := archive.Head{
		Archive: given.Archive, Merchant: cfg.Merchant, Terminal: cfg.Terminal, To: recipient, Made: time.Now().UTC(),
		Sequence: report.Head.Seq, Hash: hex.EncodeToString(report.Head.Hash[:]),
	}
	err = writeDurably(path, func(w io.Writer) error {
		return archive.Write(w, head, signer, func(fn func([]byte) error) error {
			_, err := store.Dump(fn)
			return err
		})
	}, at)
	return movedOf(given.Archive, report), err
}

func handOver(ctx context.Context, store *queue.Store, recipient string) (queue.Handover, error) {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	h := queue.Handover{Archive: hex.EncodeToString(id), To: recipient}
	event, err := json.Marshal(map[string]any{"at": time.Now(), "why": "the journal was handed over", "archive": h.Archive, "to": h.To})
	if err != nil {
		return h, err
	}
	given, err := store.HandOver(ctx, h, event)
	var gone *queue.HandedOverError
	if errors.As(err, &gone) {
		return given, &MoveError{err.Error(), "it can only be exported again for that recipient"}
	}
	if err != nil {
		return given, &PartError{"journal", err}
	}
	return given, nil
}

// writeDurably makes a file appear under its name with all its bytes.
func writeDurably(path string, write func(io.Writer) error, at func(string)) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	at("written")
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	at("named")
	return syncFolder(path)
}

func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Import takes the journal of another machine out of an archive that was sealed to
// this one's import key, once.
func Import(ctx context.Context, cfg Config, path string) (Moved, error) {
	return importArchive(ctx, cfg, path, func(string) {})
}

func importArchive(ctx context.Context, cfg Config, path string, at func(step string)) (m Moved, err error) {
	if err := own(cfg); err != nil {
		return m, err
	}
	signer, err := readSigner(cfg.Keys.TerminalSigning)
	if err != nil {
		return m, err
	}
	f, err := os.Open(path)
	if err != nil {
		return m, &MoveError{err.Error(), "name the file that tapkeeper queue export has written"}
	}
	defer func() { _ = f.Close() }() // only read
	if exists(journalDir(cfg)) {
		return m, errors.Join(&MoveError{"this machine has a journal already", "an archive is taken once, and only where no journal is"}, holdPlace(cfg))
	}
	key, err := readImportKey(cfg)
	if err != nil {
		return m, &MoveError{"this machine has no import key: it has asked for no archive, or has taken it", "tapkeeper queue import-key makes one; the archive must be exported to it"}
	}
	r, err := archive.Open(f, key, signer.Public().(ed25519.PublicKey))
	if err != nil {
		return m, err
	}
	if r.Head.Merchant != cfg.Merchant || r.Head.Terminal != cfg.Terminal {
		return m, &archive.Refused{Why: fmt.Sprintf("it is of terminal %s/%s, this is %s/%s", r.Head.Merchant, r.Head.Terminal, cfg.Merchant, cfg.Terminal)}
	}
	source, master, err := loadMaster(cfg)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, master.Close()) }()
	report, err := restore(ctx, cfg, r, master)
	if err == nil {
		err = countImported(ctx, cfg, source, master, r.Head.Archive)
	}
	if err != nil {
		return m, errors.Join(err, os.RemoveAll(importDir(cfg)))
	}
	at("restored")
	// From the rename on this machine has the journal. Its key goes last: an archive
	// that it opens is of no use where a journal is.
	if err := os.Rename(importDir(cfg), journalDir(cfg)); err != nil {
		return m, &PartError{"journal", err}
	}
	at("in its place")
	if err := syncFolder(journalDir(cfg)); err != nil {
		return m, &PartError{"journal", err}
	}
	if err := errors.Join(drop(importKeyPath(cfg)), syncFolder(journalDir(cfg))); err != nil {
		return m, &PartError{"import key", err}
	}
	at("key removed")
	return movedOf(r.Head.Archive, report), nil
}

// restore makes the journal beside its place.
func restore(ctx context.Context, cfg Config, r *archive.Reader, master *vault.Key) (report queue.Report, err error) {
	if err := os.RemoveAll(importDir(cfg)); err != nil { // of an import that was cut off
		return report, &PartError{"journal", err}
	}
	a := queue.Arrival{Archive: r.Head.Archive, Head: queue.Committed{Seq: r.Head.Sequence}}
	if n, err := hex.Decode(a.Head.Hash[:], []byte(r.Head.Hash[:min(len(r.Head.Hash), 64)])); err != nil || n != 32 {
		return report, &archive.Refused{Why: "its head cannot be read"}
	}
	if a.Event, err = json.Marshal(map[string]any{"at": time.Now(), "why": "the journal was taken over", "archive": a.Archive}); err != nil {
		return report, err
	}
	err = master.Use(func(key []byte) (err error) {
		report, err = queue.Restore(ctx, queue.Options{Dir: importDir(cfg), Master: key}, a, r.Next)
		return err
	})
	var refused *archive.Refused
	if err != nil && !errors.As(err, &refused) {
		err = &PartError{"journal", err}
	}
	return report, err
}
