package lane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tapkeeper/queue"
	"tapkeeper/queue/vault"
)

// ErrHandKey: the next key has to be brought by whoever keeps it.
var ErrHandKey = errors.New("the master key is a credential: who keeps it must bring the next one")

// KeyState says where the journal's master key is kept, and how far an exchange got.
type KeyState struct {
	Source   string // as in the settings
	ReadOnly bool   // a credential: only who keeps it can exchange it
	Handover string // the file in which the next key is brought then
	UsesNext bool   // the next key is in use; its keeper has to put it in the place of the other
}

// handoverName is the file, in the daemon's own folder in memory, that brings a key.
const handoverName = "journal-master.next"

// KeyState tells about the master key.
func (l *Lane) KeyState() KeyState {
	l.keys.Lock()
	defer l.keys.Unlock()
	return l.keyState()
}

func (l *Lane) keyState() KeyState {
	s := KeyState{Source: l.source.String(), ReadOnly: l.source.ReadOnly(), UsesNext: l.usesNext}
	if dir := os.Getenv("RUNTIME_DIRECTORY"); s.ReadOnly && dir != "" {
		s.Handover = filepath.Join(dir, handoverName)
	}
	return s
}

// RotateKey gives the journal a new master key while it works. by is in the journal.
func (l *Lane) RotateKey(ctx context.Context, by string) (KeyState, error) {
	l.keys.Lock()
	defer l.keys.Unlock()
	ctx = context.WithoutCancel(ctx) // half an exchange is settled by the next start only
	next, err := l.nextKey()
	if err != nil {
		return l.keyState(), err
	}
	if err := exchange(ctx, l.store, l.source, l.master, next, func(string) {}); err != nil {
		if !errors.Is(err, errInUse) {
			return l.keyState(), errors.Join(err, next.Close())
		}
		l.log.Error().Err(err).Msg("the next master key is in use, and not in its place; the next start puts it there")
	}
	old := l.master
	l.master, l.usesNext = next, l.source.ReadOnly()
	err = old.Close()
	event, e := json.Marshal(map[string]any{"at": time.Now(), "why": "the master key was exchanged", "by": by})
	if e == nil {
		_, e = l.store.Commit(ctx, queue.Commit{Event: event})
	}
	if e != nil {
		err = errors.Join(err, fmt.Errorf("the key was exchanged; the journal does not tell by whom: %w", e))
	}
	return l.keyState(), err
}

// nextKey draws a key, or takes the one that was brought.
func (l *Lane) nextKey() (*vault.Key, error) {
	if !l.source.ReadOnly() {
		return vault.Random()
	}
	path := l.keyState().Handover
	if path == "" {
		return nil, ErrHandKey
	}
	brought, err := vault.Parse("file:"+path, vault.Settings{})
	if err != nil {
		return nil, masterError(err)
	}
	next, err := brought.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrHandKey
	}
	if err == nil {
		err = os.Remove(path)
	}
	return next, masterError(err)
}

// errInUse: the journal has the next key, which is not in its place yet.
var errInUse = errors.New("the next key is not in its place")

// exchange follows the steps of "Exchange of the master key" in docs/durability.md; at
// is told of each when it is done. Wherever it ends, one of the two keys opens
// the journal, both are kept until it is known which, and a start settles it.
func exchange(ctx context.Context, store *queue.Store, source *vault.Source, old, next *vault.Key, at func(step string)) error {
	if !source.ReadOnly() {
		if err := source.Stage(next); err != nil {
			return masterError(err)
		}
		at("staged")
		if err := readBack(source, next); err != nil { // what cannot be read again must not become the key
			return errors.Join(err, source.Drop())
		}
		at("read back")
	}
	err := old.Use(func(a []byte) error {
		return next.Use(func(b []byte) error { return store.Rewrap(ctx, a, b) })
	})
	if err != nil {
		if !errors.Is(err, queue.ErrUnknown) {
			err = errors.Join(err, source.Drop())
		}
		return err
	}
	at("rewrapped")
	if source.ReadOnly() {
		return nil
	}
	if err := source.Promote(); err != nil {
		return fmt.Errorf("%w: %w", errInUse, err)
	}
	at("in its place")
	return nil
}

// readBack reads the next key and holds it against the one that was written.
func readBack(source *vault.Source, want *vault.Key) error {
	got, err := source.Next()
	if err != nil {
		return masterError(err)
	}
	same, err := got.Equal(want)
	if err == nil && !same {
		err = errors.New("the key that was read back is another one")
	}
	return masterError(errors.Join(err, got.Close()))
}

// SealKey seals the key in a file to this machine's TPM, into another file, and reads
// it back.
func SealKey(cfg Config, from, to string) error {
	if exists(to) {
		return masterError(&vault.Error{Where: to, Why: "it is there already", Fix: "name another file: a key is never written over"})
	}
	open := func(spec string) (*vault.Source, error) {
		return vault.Parse(spec, vault.Settings{TPM: cfg.Keys.TPMDevice, PCRs: cfg.Keys.TPMPCRs})
	}
	plain, err := open("file:" + from)
	if err != nil {
		return masterError(err)
	}
	key, err := plain.Load()
	if err != nil {
		return masterError(err)
	}
	defer func() { _ = key.Close() }()
	sealed, err := open("tpm:" + to)
	if err == nil {
		err = sealed.Stage(key)
	}
	if err != nil {
		return masterError(err)
	}
	if err := readBack(sealed, key); err != nil {
		return errors.Join(err, sealed.Drop())
	}
	return masterError(sealed.Promote())
}
