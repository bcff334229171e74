package lane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"tapkeeper/queue"
	"tapkeeper/queue/vault"
)

// Rebind lets this machine's TPM count the journal from now on, whatever it has counted
// before: a person says that this journal is the newest. It returns what was wrong, which
// the journal keeps as well; nil: nothing was.
func Rebind(ctx context.Context, cfg Config, by string) (was *CounterError, err error) {
	if err := own(cfg); err != nil {
		return nil, err
	}
	if !exists(journalDir(cfg)) {
		return nil, &PartError{"journal", fmt.Errorf("there is none in %s: %w", cfg.DataDir, fs.ErrNotExist)}
	}
	source, key, err := loadMaster(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	store, next, err := unlock(queue.Options{Dir: journalDir(cfg)}, source, key)
	if err != nil {
		return nil, &PartError{"journal", err}
	}
	defer func() { err = errors.Join(err, store.Close(), next.Close()) }()
	c := openCounter(cfg, source, store, time.Now)
	if c == nil {
		return nil, &MoveError{"no TPM counts this journal", `only with keys.journal_master = "tpm:..." one does`}
	}
	_, now, err := c.check()
	if err != nil && !errors.As(err, &was) {
		return nil, err
	}
	why := map[string]any{"at": time.Now(), "why": "a person bound the journal to the TPM's counter", "by": by}
	if was != nil {
		why["was"] = was.Error()
	}
	_, err = c.bind(ctx, now, why)
	return was, err
}

// countExported counts once more before a journal goes: a copy from before, put back
// here, does not start.
func countExported(ctx context.Context, cfg Config, source *vault.Source, store *queue.Store) error {
	c := openCounter(cfg, source, store, time.Now)
	if c == nil {
		return nil
	}
	if _, _, err := c.check(); err != nil {
		return err
	}
	_ = c.count(ctx, 0) // not where it was handed over before; and a chip that writes no more must not keep it here
	return nil
}

// countImported lets this machine's TPM count the journal that has come, and forgets
// the one of the other machine.
func countImported(ctx context.Context, cfg Config, source *vault.Source, master *vault.Key, archive string) (err error) {
	var store *queue.Store
	err = master.Use(func(key []byte) (err error) {
		store, err = queue.Open(queue.Options{Dir: importDir(cfg), Master: key})
		return err
	})
	if err != nil {
		return &PartError{"journal", err}
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	why := map[string]any{"at": time.Now(), "why": "another machine's TPM has counted the journal so far", "archive": archive}
	if c := openCounter(cfg, source, store, time.Now); c != nil {
		now, err := c.tpm.Read()
		if err != nil {
			return masterError(err)
		}
		_, err = c.bind(ctx, now, why)
		return err
	}
	if _, ok, err := store.Get(kindLane, keyCounter); err != nil || !ok {
		return err
	}
	event, err := json.Marshal(why)
	if err != nil {
		return err
	}
	_, err = store.Commit(ctx, queue.Commit{Event: event, Records: []queue.Record{{Kind: kindLane, Key: keyCounter}}})
	return err
}
