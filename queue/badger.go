package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	databaseName = "badger"
	memTableSize = 8 << 20
	// minFree is what a commit and Open want to find free, beside as much as
	// the tables take: Badger writes through memory maps of sparse files, and
	// on a full disk it is killed by SIGBUS, at every later open too. For logs
	// and fresh tables a reserve of one table was seen to run out; of four,
	// never. And a compaction writes anew, at worst, every table there is
	// before it removes the old ones.
	minFree = 4 * memTableSize
)

// databaseOptions are for a small device and for durability: a commit returns
// after msync; tables are checked when they are opened.
func databaseOptions(dir string, log Logger) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(badgerLog{log}).
		WithSyncWrites(true).
		WithMemTableSize(memTableSize).WithNumMemtables(2).
		WithValueThreshold(64 << 10).WithValueLogFileSize(8 << 20). // no value of ours reaches the value log
		WithBaseTableSize(1 << 20).WithBaseLevelSize(4 << 20).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).
		WithNumCompactors(2).WithNumGoroutines(1). // 2 is Badger's least
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithDetectConflicts(false). // one committer
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.OnTableRead)
}

// openDatabase opens Badger on files that were made durable and checked.
func openDatabase(dir string, log Logger) (db *badger.DB, err error) {
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
	if err := checkTables(dir); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, &DamageError{What: "database", Why: firstLine(fmt.Sprint(r))}
		}
	}()
	db, err = badger.Open(databaseOptions(dir, log))
	switch {
	case err == nil:
		return db, nil
	case isSystem(err):
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return nil, &DamageError{What: "database", Why: firstLine(err.Error())}
}

// tableBytes is the size of Badger's tables.
func tableBytes(dir string) (sum uint64, err error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".sst" {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // a compaction has removed it
		}
		if err != nil {
			return 0, err
		}
		sum += uint64(info.Size())
	}
	return sum, err
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
type badgerLog struct{ to Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.warn(f, a) }
func (l badgerLog) Warningf(f string, a ...any) { l.warn(f, a) }
func (l badgerLog) Infof(string, ...any)        {}
func (l badgerLog) Debugf(string, ...any)       {}

func (l badgerLog) warn(f string, a []any) {
	if l.to != nil {
		l.to.Warn("database: " + firstLine(fmt.Sprintf(f, a...)))
	}
}
