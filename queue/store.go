package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Store is an open journal. Its methods may be called concurrently.
type Store struct {
	dir, databaseDir string
	lock             *os.File
	db               *badger.DB
	ring             *ring
	outbox           *outbox
	healed           []string

	requests chan *request
	stop     chan struct{} // closed by Close
	stopped  chan struct{} // closed by run

	broken atomic.Bool // a write failed: ErrUnknown from now on

	// Of the committer alone.
	anchor    *anchor
	namesAt   time.Time // of the database's directory, when its names were last synced
	tablesAt  time.Time // and when its tables were last measured
	tables    uint64    // their bytes
	free      func(dir string) (uint64, error)
	commitTxn func(*badger.Txn) error

	mu      sync.Mutex // guards head, closed
	head    Committed
	closed  bool
	readers sync.WaitGroup
}

// Open opens or makes the store in o.Dir. It fails with ErrLocked when another
// process holds it, ErrKey when o.Master does not open it, ErrFull when the disk
// is too full to open it safely, and *DamageError when anything that was
// acknowledged is missing or does not fit.
func Open(o Options) (*Store, error) {
	if len(o.Master) != 32 {
		return nil, fmt.Errorf("%w: it has %d bytes, want 32", ErrKey, len(o.Master))
	}
	if err := os.Mkdir(o.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the journal's directory: %w", err)
	}
	if err := syncPath(filepath.Dir(filepath.Clean(o.Dir))); err != nil { // a new directory's name must last, too
		return nil, fmt.Errorf("sync the name of the journal's directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: o.Dir, databaseDir: filepath.Join(o.Dir, databaseName), lock: lock, outbox: newOutbox(),
		requests: make(chan *request), stop: make(chan struct{}), stopped: make(chan struct{}),
		free: freeBytes, commitTxn: (*badger.Txn).Commit,
	}
	if err := s.open(o); err != nil {
		return nil, errors.Join(err, s.release())
	}
	if o.Logger != nil {
		for _, text := range s.healed {
			o.Logger.Warn(text)
		}
	}
	go s.run()
	return s, nil
}

// open follows the steps of "Opening" in docs/durability.md.
func (s *Store) open(o Options) (err error) {
	if err := s.gate(); err != nil {
		return err
	}
	used, err := holdsDatabase(s.databaseDir)
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(s.dir, anchorName))
	if used && errors.Is(err, fs.ErrNotExist) {
		return &DamageError{What: "anchor", Why: "its file is missing, and with it the data key"}
	}
	if s.anchor, err = openAnchor(s.dir, o.Master); err != nil {
		return err
	}
	s.ring, s.healed = s.anchor.ring, s.anchor.healed
	if !used && s.anchor.head.Seq > 0 {
		return &DamageError{What: "database", Seq: 1, Why: fmt.Sprintf("its files are missing; the anchor knows %d commits", s.anchor.head.Seq)}
	}
	if s.db, err = openDatabase(s.databaseDir, o.Logger); err != nil {
		return err
	}
	return s.recover()
}

func holdsDatabase(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		// A database without its manifest would be emptied by Badger.
		tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
		logs, _ := filepath.Glob(filepath.Join(dir, "*.mem"))
		if len(tables)+len(logs) > 0 {
			return false, &DamageError{What: "database", Why: badger.ManifestFilename + " is missing"}
		}
		return false, nil
	}
	return err == nil, err
}

// Close ends the store. Commits under way are finished first; later calls get
// ErrClosed. A callback of Each or Events that still runs is waited for.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	close(s.stop)
	<-s.stopped
	s.readers.Wait()
	return s.release()
}

// release gives back what open has taken, in the other order.
func (s *Store) release() error {
	var errs []error
	if s.db != nil {
		if err := closeDatabase(s.db); err != nil {
			errs = append(errs, fmt.Errorf("close the database: %w", err))
		}
	}
	if s.anchor != nil {
		errs = append(errs, s.anchor.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

func closeDatabase(db *badger.DB) (err error) {
	defer rescue(&err)
	return db.Close()
}

// enter lets a reader in unless the store is closed or in doubt.
func (s *Store) enter() error {
	if s.broken.Load() {
		return ErrUnknown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.readers.Add(1)
	return nil
}

func (s *Store) leave() { s.readers.Done() }

// Head returns the last commit: number and hash; zero before the first.
func (s *Store) Head() Committed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

func (s *Store) setHead(c Committed) {
	s.mu.Lock()
	s.head = c
	s.mu.Unlock()
}
