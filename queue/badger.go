package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	databaseName = "badger"
	memTableSize = 8 << 20
)

// databaseOptions are for a small device. Badger does not sync its log: with
// SyncWrites it syncs its value log, too, which holds nothing here, and that
// is a third of a commit's time. badgerCells.Write syncs the log.
func databaseOptions(dir string, log Logger) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(badgerLog{to: log}).
		WithSyncWrites(false).
		WithMemTableSize(memTableSize).WithNumMemtables(2).
		WithValueThreshold(64 << 10).WithValueLogFileSize(8 << 20). // no value of ours reaches the value log
		// Small levels would be written anew all the time: with levels of 4 MiB
		// that was half of a busy journal's work.
		WithBaseTableSize(4 << 20).WithBaseLevelSize(16 << 20).
		WithNumLevelZeroTables(8).WithNumLevelZeroTablesStall(16).
		WithNumCompactors(2).WithNumGoroutines(1). // 2 is Badger's least
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithDetectConflicts(false). // one committer
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.NoVerification) // checkTables has just read them all; later, the seals
}

// badgerCells is cells on Badger.
type badgerCells struct {
	db      *badger.DB
	log     *tail
	flushes *flushes
	durable func() error // log.sync; a test puts a lie in its place
}

var _ cells = (*badgerCells)(nil)

// openDatabase opens Badger on files that were made durable and checked.
func openDatabase(dir string, log Logger) (c *badgerCells, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the database's directory: %w", err)
	}
	// What a killed process wrote may be in the page cache only. Recovery
	// reads it and tells it as durable, so it must be.
	if err := syncTree(dir); err != nil {
		return nil, fmt.Errorf("sync the database's files: %w", err)
	}
	if err := syncPath(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("sync the journal's directory: %w", err)
	}
	if err := checkTables(dir, databaseOptions(dir, log)); err != nil {
		return nil, err
	}
	if err := removeEmpty(dir); err != nil {
		return nil, fmt.Errorf("remove empty logs: %w", err)
	}
	flushes := newFlushes(dir)
	db, err := openBadger(dir, log, flushes)
	if err != nil {
		return nil, err
	}
	// The heads of the files that it has just made must last as well.
	err = syncTree(dir)
	c = &badgerCells{db: db, flushes: flushes}
	if err == nil {
		c.log, err = openTail(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sync the database's files: %w", err), closeBadger(db))
	}
	c.durable = c.log.sync
	return c, nil
}

// removeEmpty removes logs without a byte. Badger makes a log, and removes one,
// in two steps with an empty file between; a crash there is no damage, but Badger
// does not open on it. Of a log that was emptied the anchor tells.
func removeEmpty(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if ext := filepath.Ext(f.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := f.Info()
		if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			err = os.Remove(filepath.Join(dir, f.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func openBadger(dir string, log Logger, f *flushes) (db *badger.DB, err error) {
	defer rescue(&err)
	db, err = badger.Open(databaseOptions(dir, log).WithLogger(badgerLog{log, f.hear}))
	switch {
	case err == nil:
		return db, nil
	case isSystem(err):
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return nil, &DamageError{What: "database", Why: firstLine(err.Error())}
}

// Write is one transaction and one sync.
func (c *badgerCells) Write(batch []cell) (err error) {
	defer rescue(&err)
	if err := c.log.ahead(batch); err != nil {
		return err
	}
	txn := c.db.NewTransaction(true)
	defer txn.Discard()
	for _, w := range batch {
		if w.value == nil {
			err = txn.Delete(w.key)
		} else {
			err = txn.Set(w.key, w.value)
		}
		if err != nil {
			return fmt.Errorf("fill the transaction: %w", err)
		}
	}
	if err := txn.Commit(); err != nil {
		return fmt.Errorf("write to the database: %w", err)
	}
	return c.durable()
}

// Close ends Badger.
func (c *badgerCells) Close() error {
	c.flushes.close() // it tries at once, for the last times
	return errors.Join(closeBadger(c.db), c.log.close())
}

// closePatience is how long Badger may take to close. It writes its tables anew
// until that succeeds, which on a disk that takes nothing is never. All that was
// acknowledged is in its log, and its own lock keeps others out meanwhile.
const closePatience = 10 * time.Second

func closeBadger(db *badger.DB) error {
	closed := make(chan error, 1)
	go func() {
		var err error
		defer func() { closed <- err }()
		defer rescue(&err)
		err = db.Close()
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(closePatience):
		return errors.New("the database does not close: the disk takes none of its tables")
	}
}

// Read opens a snapshot.
func (c *badgerCells) Read() view { return badgerView{c.db.NewTransaction(false)} }

type badgerView struct{ txn *badger.Txn }

func (v badgerView) Close() { v.txn.Discard() }

func (v badgerView) Get(key []byte) (value []byte, ok bool, err error) {
	defer rescue(&err)
	item, err := v.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err == nil {
		value, err = item.ValueCopy(nil)
	}
	return value, err == nil, err
}

func (v badgerView) Walk(prefix []byte, backwards bool, fn func(key, value []byte) error) (err error) {
	defer rescue(&err)
	it := v.txn.NewIterator(badger.IteratorOptions{Prefix: prefix, Reverse: backwards})
	defer it.Close()
	if backwards {
		it.Seek(append(append([]byte{}, prefix...), 0xFF))
	} else {
		it.Rewind()
	}
	for ; it.Valid(); it.Next() {
		item := it.Item()
		err := item.Value(func(value []byte) error { return fn(item.Key(), value) })
		if err != nil {
			return err
		}
	}
	return nil
}

// isSystem tells the machine's failures from damage.
func isSystem(err error) bool {
	for _, e := range []error{fs.ErrPermission, syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EROFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return strings.Contains(err.Error(), "Another process is using") // Badger's own lock
}

func firstLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	return s
}

// rescue turns a panic of Badger over damaged bytes into damage.
func rescue(err *error) {
	if r := recover(); r != nil {
		*err = &DamageError{What: "database", Why: firstLine(fmt.Sprint(r))}
	}
}

// badgerLog passes on what an operator may have to act on.
type badgerLog struct {
	to   Logger
	hear func(text string) // if any; it is told all of it
}

func (l badgerLog) Errorf(f string, a ...any)   { l.warn(f, a) }
func (l badgerLog) Warningf(f string, a ...any) { l.warn(f, a) }
func (l badgerLog) Infof(string, ...any)        {}
func (l badgerLog) Debugf(string, ...any)       {}

func (l badgerLog) warn(f string, a []any) {
	text := firstLine(fmt.Sprintf(f, a...))
	if l.to != nil {
		l.to.Warn("database: " + text)
	}
	if l.hear != nil {
		l.hear(text)
	}
}
