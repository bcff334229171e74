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
	// scriptBytes tells the tables' definitions from BEGIN and COMMIT.
	scriptBytes = 100
)

// sqlite is a file with one writer and a few readers. The file's lock lets one
// process write at a time, so keys have no meaning here.
type sqlite struct {
	db           *sql.DB
	write        *session
	read         chan *session // idle ones
	sessionsOpen []*session
}

// session is a connection with its prepared statements: preparing takes longer than running.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func openSQLite(ctx context.Context, path string) (store, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, err
	}
	s := &sqlite{db: db, read: make(chan *session, readersMax)}
	for n := range 1 + readersMax {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		opened := &session{conn, map[string]*sql.Stmt{}}
		s.sessionsOpen = append(s.sessionsOpen, opened)
		if n == 0 {
			s.write = opened
			continue
		}
		if _, err := conn.ExecContext(ctx, `PRAGMA query_only = 1`); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.read <- opened
	}
	return s, nil
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
func dsn(path string) string {
	return fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(wal)"+
		"&_pragma=synchronous(full)&_pragma=foreign_keys(1)", (&url.URL{Path: path}).EscapedPath(), busyMS)
}

func (s *sqlite) update(ctx context.Context, _ []string, fn func(*Tx) error) error {
	return s.write.in(ctx, "BEGIN IMMEDIATE", fn)
}

func (s *sqlite) view(ctx context.Context, fn func(*Tx) error) error {
	r := <-s.read
	defer func() { s.read <- r }()
	return r.in(ctx, "BEGIN DEFERRED", fn)
}

func (s *session) in(ctx context.Context, begin string, fn func(*Tx) error) error {
	if _, err := s.exec(ctx, begin, nil); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	committed := false
	defer func() {
		if !committed {
			// Fails when the database has rolled back by itself, as on a full disk;
			// if nothing has, the next begin fails and says so.
			s.exec(context.WithoutCancel(ctx), "ROLLBACK", nil)
		}
	}()
	if err := fn(&Tx{ctx: ctx, sql: s}); err != nil {
		return err
	}
	if _, err := s.exec(ctx, "COMMIT", nil); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

func (s *session) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if p := s.stmts[query]; p != nil {
		return p, nil
	}
	p, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.stmts[query] = p // queries are constants of this package: there is an end to them
	}
	return p, err
}

func (s *session) exec(ctx context.Context, query string, args []any) (int64, error) {
	if len(args) == 0 && len(query) > scriptBytes { // cannot be prepared
		_, err := s.conn.ExecContext(ctx, query)
		return 0, err
	}
	p, err := s.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := p.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *session) rows(ctx context.Context, scan func(row) error, query string, args []any) error {
	p, err := s.prepared(ctx, query)
	if err != nil {
		return err
	}
	found, err := p.QueryContext(ctx, args...)
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

func (s *sqlite) Close() error {
	var all []error
	for _, opened := range s.sessionsOpen {
		for _, p := range opened.stmts {
			all = append(all, p.Close())
		}
		all = append(all, opened.conn.Close())
	}
	s.sessionsOpen = nil
	return errors.Join(append(all, s.db.Close())...)
}
