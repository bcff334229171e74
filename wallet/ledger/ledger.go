// Package ledger keeps the wallet's books: accounts and double-entry movements,
// payments by their id, the log of answered messages, and the marks that show a
// counter of a phone being used twice.
//
// It promises that everything done in one Update is on disk together or not at
// all, that a posting adds up to zero, that money is taken at most once for a
// payment id (a primary key, not a check), and that a repeated message can be
// given the very bytes that answered it first. What was committed survives
// kill -9 and a restart. Updates that wait at the same time share one commit,
// and so one sync of the disk.
//
// One machine keeps its books in a SQLite file, a fleet in PostgreSQL; the
// tables and the promises are the same, and Open is told by the name.
//
// It does not judge: who may pay, which record is genuine and what is answered
// is decided by wallet/backend. It reads no clock and draws no random numbers.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// ErrNone says that the row asked for does not exist.
var ErrNone = errors.New("not in the ledger")

// ErrExists says that the row cannot be added because its key is taken.
var ErrExists = errors.New("already in the ledger")

// Ledger is an open book. Its methods may be called concurrently, also by
// several processes on one file or one database.
type Ledger struct {
	store store
	turns chan struct{} // held while a group is written

	mu      sync.Mutex
	waiting []*waiter
}

// store is a database: the only part that differs between SQLite and PostgreSQL.
type store interface {
	// update runs fn in one transaction that nobody else's changes to keys (nil:
	// to anything) can come between, and commits. It may run fn again after a
	// conflict; with an error nothing of it is kept, or nobody knows. It is called
	// by one goroutine at a time.
	update(ctx context.Context, keys []string, fn func(*Tx) error) error
	view(ctx context.Context, fn func(*Tx) error) error
	Close() error
}

// Tx is the ledger seen from inside one Update or View. It is valid only until
// that returns and belongs to one goroutine.
type Tx struct {
	ctx  context.Context
	sql  runner
	lock func(key string) error // nil where there is one writer anyway
}

// after waits until nobody else is between the same call and his commit. It is
// for what few updates do and none knows beforehand.
func (tx *Tx) after(key string) error {
	if tx.lock == nil {
		return nil
	}
	return tx.lock(key)
}

// runner runs statements inside a transaction.
type runner interface {
	// exec says how many rows a statement changed. Without arguments it may be a script.
	exec(ctx context.Context, query string, args []any) (int64, error)
	// rows calls scan for every row of a query.
	rows(ctx context.Context, scan func(row) error, query string, args []any) error
}

// pipeliner is a runner to which every statement is a journey. It can take along
// what nobody waits for.
type pipeliner interface {
	// later runs a statement before the next, or the commit; unless it changes so
	// many rows, that one fails with the error.
	later(query string, args []any, rows int64, otherwise error)
	// ahead runs queries that will be asked for soon, in one journey. What it read
	// holds as long as the caller writes nothing that they would see, or until forget.
	ahead(ctx context.Context, queries []query) error
	forget()
}

type query struct {
	text string
	args []any
}

// row is what a query found.
type row interface{ Scan(dest ...any) error }

// Open opens the ledger: postgres://… is a database of a PostgreSQL server, any
// other name the path of a SQLite file, which is created when it is missing.
// Missing tables are made; tables of a newer version are refused.
func Open(ctx context.Context, name string) (*Ledger, error) {
	open, shown := openSQLite, name
	if strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://") {
		open, shown = openPostgres, "on PostgreSQL" // the name may hold a password
	}
	s, err := open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", shown, err)
	}
	l := &Ledger{store: s, turns: make(chan struct{}, 1)}
	if err := l.Update(ctx, migrate); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", shown, err), l.Close())
	}
	return l, nil
}

// Close ends all connections. Nothing committed is lost without it.
func (l *Ledger) Close() error { return l.store.Close() }

// View runs fn on one consistent state of the ledger. Writing fails.
func (l *Ledger) View(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.store.view(context.WithoutCancel(ctx), fn) // a cut statement would cost the connection
}

// exec runs a statement that must change exactly one row.
func (tx *Tx) exec(missing error, query string, args ...any) error {
	n, err := tx.changed(query, args...)
	if err == nil && n != 1 {
		return missing
	}
	return err
}

// changed runs a statement and says how many rows it changed.
func (tx *Tx) changed(query string, args ...any) (int64, error) {
	return tx.sql.exec(tx.ctx, query, args)
}

// must runs a statement that changes so many rows, unless the caller has made a
// mistake or somebody the same before: at the latest when the update ends it
// fails with the error.
func (tx *Tx) must(rows int64, otherwise error, query string, args ...any) error {
	if p, ok := tx.sql.(pipeliner); ok {
		p.later(query, args, rows, otherwise)
		return nil
	}
	n, err := tx.changed(query, args...)
	if err == nil && rows != anyRows && n != rows {
		return otherwise
	}
	return err
}

// row reads one row, the last when there are more; none is ErrNone.
func (tx *Tx) row(dest []any, query string, args ...any) error {
	none := true
	err := tx.rows(func(r row) error {
		none = false
		return r.Scan(dest...)
	}, query, args...)
	if err == nil && none {
		return ErrNone
	}
	return err
}

// rows calls scan for every row of a query.
func (tx *Tx) rows(scan func(row) error, query string, args ...any) error {
	return tx.sql.rows(tx.ctx, scan, query, args)
}
