package ledger

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// scriptBytes tells the tables' definitions from BEGIN and COMMIT.
const scriptBytes = 100

// session is a connection to a SQLite file with its prepared statements:
// preparing takes longer than running. It speaks to the driver itself, because
// database/sql costs as much again as most statements here. One goroutine uses
// it at a time.
type session struct {
	conn  connection
	stmts map[string]statement
	args  []driver.NamedValue // of the statement that runs
}

// connection and statement are what the driver has beyond the least.
type connection interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

func openSession(ctx context.Context, to driver.Connector) (*session, error) {
	opened, err := to.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := opened.(connection)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's %T cannot prepare", opened), opened.Close())
	}
	return &session{conn: conn, stmts: map[string]statement{}}, nil
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

// prepared makes a statement ready to run. A context that is over runs nothing
// more, but it does not cut what runs: the driver would need a goroutine for each
// statement, and the longest wait, for the file's lock, has its own end (busyMS).
func (s *session) prepared(ctx context.Context, query string, args []any) (statement, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.args = s.args[:0]
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	if p := s.stmts[query]; p != nil {
		return p, nil
	}
	made, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	p, ok := made.(statement)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's %T takes no context", made), made.Close())
	}
	s.stmts[query] = p // queries are constants of this package: there is an end to them
	return p, nil
}

func (s *session) exec(ctx context.Context, query string, args []any) (int64, error) {
	if len(args) == 0 && len(query) > scriptBytes { // cannot be prepared
		_, err := s.conn.ExecContext(context.Background(), query, nil)
		return 0, err
	}
	p, err := s.prepared(ctx, query, args)
	if err != nil {
		return 0, err
	}
	result, err := p.ExecContext(context.Background(), s.args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *session) rows(ctx context.Context, scan func(row) error, query string, args []any) (err error) {
	p, err := s.prepared(ctx, query, args)
	if err != nil {
		return err
	}
	found, err := p.QueryContext(context.Background(), s.args)
	if err != nil {
		return err
	}
	defer func() {
		if closed := found.Close(); err == nil {
			err = closed
		}
	}()
	columns := make([]driver.Value, len(found.Columns()))
	read := make(values, len(columns))
	for {
		err := found.Next(columns)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i, c := range columns {
			read[i] = c
		}
		if err := scan(read); err != nil {
			return err
		}
	}
}

func (s *session) close() error {
	var all []error
	for _, p := range s.stmts {
		all = append(all, p.Close())
	}
	return errors.Join(append(all, s.conn.Close())...)
}
