// Package ledger keeps the wallet's books: accounts and double-entry movements,
// payments by their id, the log of answered messages, and the marks that show a
// counter of a phone being used twice.
//
// It promises that everything done in one Update is on disk together or not at
// all, that a posting adds up to zero, that money is taken at most once for a
// payment id (a primary key, not a check), and that a repeated message can be
// given the very bytes that answered it first. What was committed survives
// kill -9 and a restart.
//
// It does not judge: who may pay, which record is genuine and what is answered
// is decided by wallet/backend. It reads no clock and draws no random numbers.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the database driver "sqlite", without cgo
)

const (
	// busyMS is how long a writer waits for another process's commit. A commit
	// takes one fsync; ten seconds of waiting means that the other one is stuck.
	busyMS = 10_000
	// readersMax bounds open snapshots: each costs a connection and holds back the checkpoint.
	readersMax = 4
)

// ErrNone says that the row asked for does not exist.
var ErrNone = errors.New("not in the ledger")

// ErrExists says that the row cannot be added because its key is taken.
var ErrExists = errors.New("already in the ledger")

// Ledger is an open book. Its methods may be called concurrently, also by
// several processes on one file: there is one writer at a time.
type Ledger struct {
	write *sql.DB
	read  *sql.DB
}

// Tx is the ledger seen from inside one Update or View. It is valid only until
// that returns and belongs to one goroutine.
type Tx struct {
	ctx context.Context
	sql *sql.Tx
}

// Open opens the ledger file at path and creates it, and its tables, when they
// are missing. A file written by a newer version is refused.
func Open(ctx context.Context, path string) (*Ledger, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	write, err := sql.Open("sqlite", dsn(path, "immediate"))
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn(path, "deferred")+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(readersMax)
	l := &Ledger{write: write, read: read}
	if err := l.Update(ctx, migrate); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), l.Close())
	}
	return l, nil
}

// create makes a new file that only its owner may read: it tells who paid
// where. A file that is there is not touched; closing a descriptor of it would
// drop the locks that this process holds on it.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn asks for a write-ahead log with a sync at every commit: the answer that
// follows the commit must not be able to outlive it.
func dsn(path, lock string) string {
	return fmt.Sprintf("file:%s?_txlock=%s&_pragma=busy_timeout(%d)&_pragma=journal_mode(wal)"+
		"&_pragma=synchronous(full)&_pragma=foreign_keys(1)", (&url.URL{Path: path}).EscapedPath(), lock, busyMS)
}

// Close ends all connections. Nothing committed is lost without it.
func (l *Ledger) Close() error {
	return errors.Join(l.read.Close(), l.write.Close())
}

// Update runs fn with the only right to write and commits what it did. When fn
// fails nothing is kept. When Update itself fails after fn succeeded, the
// outcome is unknown: run it again, every operation may be repeated.
func (l *Ledger) Update(ctx context.Context, fn func(*Tx) error) error {
	return in(ctx, l.write, fn)
}

// View runs fn on one consistent state of the ledger. Writing fails.
func (l *Ledger) View(ctx context.Context, fn func(*Tx) error) error {
	return in(ctx, l.read, fn)
}

func in(ctx context.Context, db *sql.DB, fn func(*Tx) error) error {
	dbTx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer dbTx.Rollback() // after a commit this does nothing
	if err := fn(&Tx{ctx: ctx, sql: dbTx}); err != nil {
		return err
	}
	if err := dbTx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// exec runs a statement that must change exactly one row.
func (tx *Tx) exec(missing error, query string, args ...any) error {
	result, err := tx.sql.ExecContext(tx.ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return missing
	}
	return nil
}

// row reads one row; none is ErrNone.
func (tx *Tx) row(dest []any, query string, args ...any) error {
	err := tx.sql.QueryRowContext(tx.ctx, query, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNone
	}
	return err
}

// rows calls scan for every row of a query.
func (tx *Tx) rows(scan func(*sql.Rows) error, query string, args ...any) error {
	found, err := tx.sql.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		if err := scan(found); err != nil {
			return err
		}
	}
	return found.Err()
}
