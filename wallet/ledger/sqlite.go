package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"

	driver "modernc.org/sqlite" // without cgo
)

const (
	// busyMS is how long a writer waits for another process's commit. A commit
	// takes one fsync; ten seconds of waiting means that the other one is stuck.
	busyMS = 10_000
	// readersMax bounds open snapshots: each costs a connection and holds back the checkpoint.
	readersMax = 4
)

var errClosed = errors.New("the ledger is closed")

// sqlite is a file with one writer and a few readers. The file's lock lets one
// process write at a time, so keys have no meaning here.
type sqlite struct {
	writing sync.Mutex // held by who uses write
	write   *session   // nil when closed
	read    chan *session
	readers int // that were opened
}

func openSQLite(ctx context.Context, path string) (store, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	c, err := driver.NewConnector(dsn(path))
	if err != nil {
		return nil, err
	}
	s := &sqlite{read: make(chan *session, readersMax)}
	if s.write, err = openSession(ctx, c); err != nil {
		return nil, err
	}
	for range readersMax {
		r, err := openSession(ctx, c)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.read <- r
		s.readers++
		if _, err := r.exec(ctx, `PRAGMA query_only = 1`, nil); err != nil {
			return nil, errors.Join(err, s.Close())
		}
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
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.write == nil {
		return errClosed
	}
	return s.write.in(ctx, "BEGIN IMMEDIATE", fn)
}

func (s *sqlite) view(ctx context.Context, fn func(*Tx) error) error {
	r, open := <-s.read
	if !open {
		return errClosed
	}
	defer func() { s.read <- r }()
	return r.in(ctx, "BEGIN DEFERRED", fn)
}

// Close waits for those who are at work. Closing again does nothing.
func (s *sqlite) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.write == nil {
		return nil
	}
	all := []error{s.write.close()}
	s.write = nil
	for range s.readers {
		all = append(all, (<-s.read).close())
	}
	close(s.read)
	return errors.Join(all...)
}
