package lane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tapkeeper/queue"
	"tapkeeper/queue/vault"
)

// masterSource is where the journal's master key comes from.
func masterSource(cfg Config) (*vault.Source, error) {
	if cfg.Keys.JournalMaster == "" {
		return nil, &KeyError{settingMaster, `""`, "not set"}
	}
	s, err := vault.Parse(cfg.Keys.JournalMaster, vault.Settings{TPM: cfg.Keys.TPMDevice, PCRs: cfg.Keys.TPMPCRs, Owner: ownerOf(cfg.DataDir)})
	return s, masterError(err)
}

// ownerOf is whose the journal is, when root looks at it; 0 where there is none.
func ownerOf(dir string) int {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return int(st.Uid)
}

const settingMaster = "keys.journal_master"

func masterError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", settingMaster, err)
}

// loadMaster reads the key before anything is opened.
func loadMaster(cfg Config) (*vault.Source, *vault.Key, error) {
	source, err := masterSource(cfg)
	if err != nil {
		return nil, nil, err
	}
	key, err := source.Load()
	return source, key, masterError(err)
}

func journalDir(cfg Config) string { return filepath.Join(cfg.DataDir, "journal") }

// openStore opens the journal with its key, or with the next one where an exchange
// of keys was cut off; whichever opens it settles what is left of the other.
func (l *Lane) openStore(source *vault.Source, key *vault.Key) error {
	l.source, l.master = source, key
	l.closing = append(l.closing, func() error { return l.master.Close() })
	if err := os.MkdirAll(l.cfg.DataDir, 0o700); err != nil {
		return &PartError{"journal", err}
	}
	if err := holdPlace(l.cfg); err != nil {
		return err
	}
	store, next, err := unlock(queue.Options{Dir: journalDir(l.cfg), Logger: warner{l.log}}, source, key)
	if err != nil {
		return &PartError{"journal", err}
	}
	l.store = store
	l.closing = append(l.closing, store.Close)
	if next != nil {
		l.master, l.usesNext = next, source.ReadOnly()
		_ = key.Close() // wiped; there is nothing that could be done
		l.log.Warn().Bool("unfinished", l.usesNext).Msg("the journal opens with the next master key: an exchange of keys was cut off")
	}
	if l.clock, err = openClock(store); err != nil {
		return &PartError{"journal", err}
	}
	if l.counter = openCounter(l.cfg, source, store, l.clock.last); l.counter == nil {
		return nil
	}
	warning, err := l.counter.start(context.Background())
	if warning != nil {
		l.log.Warn().Err(warning).Msg("the TPM does not count the journal: an older copy may go unnoticed")
	}
	return err
}

// unlock opens a store with a key, or with the source's next one, which it returns
// then.
func unlock(o queue.Options, source *vault.Source, key *vault.Key) (s *queue.Store, next *vault.Key, err error) {
	open := func(k *vault.Key) error {
		return k.Use(func(master []byte) (err error) {
			o.Master = master
			s, err = queue.Open(o)
			return err
		})
	}
	err = open(key)
	if err == nil {
		// An exchange that was cut off before its end, or never: opening has put the journal
		// back to this key altogether.
		if err := source.Drop(); err != nil {
			return nil, nil, errors.Join(err, s.Close())
		}
		return s, nil, nil
	}
	if !errors.Is(err, queue.ErrKey) {
		return nil, nil, err
	}
	next, e := source.Next()
	if errors.Is(e, fs.ErrNotExist) {
		return nil, nil, err
	}
	if e != nil {
		return nil, nil, errors.Join(err, e)
	}
	if err = open(next); err == nil && !source.ReadOnly() {
		if err = source.Promote(); err != nil {
			err = errors.Join(err, s.Close())
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, next.Close())
	}
	return s, next, nil
}

// Inspect verifies the journal of a lane that does not run, without changing it.
func Inspect(cfg Config) (report queue.Report, err error) {
	source, key, err := loadMaster(cfg)
	if err != nil {
		return report, err
	}
	look := func(k *vault.Key) error {
		return k.Use(func(master []byte) (err error) {
			report, err = queue.Inspect(queue.Options{Dir: journalDir(cfg), Master: master})
			return err
		})
	}
	err = errors.Join(look(key), key.Close())
	if errors.Is(err, queue.ErrKey) {
		if next, e := source.Next(); e == nil {
			err = errors.Join(look(next), next.Close())
		}
	}
	if err != nil {
		return report, &PartError{"journal", err}
	}
	return report, nil
}
