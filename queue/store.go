package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// Store is an open journal. Its methods may be called concurrently.
type Store struct {
	cells  cells
	ring   *ring
	outbox *outbox
	healed []string
	space  *space         // nil: room without an end
	close  []func() error // in the order of opening

	requests chan *request
	stop     chan struct{} // closed by Close
	stopped  chan struct{} // closed by run
	ended    chan struct{} // closed at the end of Close

	broken atomic.Bool // a write failed: ErrUnknown from now on
	gone   atomic.Pointer[HandedOverError]
	anchor *anchor // of the committer alone

	mu      sync.Mutex // guards head, shown, closed
	head    Committed
	shown   *shown
	closed  bool
	readers sync.WaitGroup
}

func newStore() *Store {
	return &Store{
		outbox:   newOutbox(),
		requests: make(chan *request), stop: make(chan struct{}), stopped: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Open opens or makes the store in o.Dir. It fails with ErrLocked when another
// process holds it, ErrKey when o.Master does not open it, ErrVersion when
// another version of tapkeeper wrote it, ErrFull when the disk is too full to
// open it safely, ErrDisk when it is read-only, and *DamageError when anything that was acknowledged is missing
// or does not fit.
func Open(o Options) (*Store, error) {
	s := newStore()
	if err := s.open(o); err != nil {
		if errors.Is(err, syscall.EROFS) {
			err = fmt.Errorf("%w: %w", ErrDisk, err)
		}
		return nil, errors.Join(err, s.release())
	}
	if o.Logger != nil {
		for _, text := range s.healed {
			o.Logger.Warn(text)
		}
	}
	go s.run()
	if err := s.migrate(o.Master); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.refuseHandedOver(o.HandedOver); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open follows the steps of "Opening" in docs/durability.md.
func (s *Store) open(o Options) error {
	if len(o.Master) != 32 {
		return fmt.Errorf("%w: it has %d bytes, want 32", ErrKey, len(o.Master))
	}
	if err := os.Mkdir(o.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the journal's directory: %w", err)
	}
	if err := syncPath(filepath.Dir(filepath.Clean(o.Dir))); err != nil { // a new directory's name must last, too
		return fmt.Errorf("sync the name of the journal's directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return err
	}
	s.close = append(s.close, lock.Close)
	database := filepath.Join(o.Dir, databaseName)
	if s.space, err = newSpace(o.Dir, database); err != nil {
		return err
	}
	if o.free != nil {
		s.space.free = o.free
	}
	s.space.takes = append(s.space.takes, func() error { return touch(lock) })
	used, err := holdsDatabase(database)
	if err != nil {
		return err
	}
	file, err := openAnchorFile(o.Dir, o.Master, used, func() error { return s.space.admit(true) })
	if err != nil {
		return err
	}
	s.close = append(s.close, file.Close)
	a, err := loadAnchor(anchorFile{file}, o.Master)
	if err != nil {
		return err
	}
	// From here on the store is ours to change: its version and key are known.
	if err := os.RemoveAll(filepath.Join(o.Dir, copyName)); err != nil {
		return fmt.Errorf("remove the copy that an inspection has left: %w", err)
	}
	if err := s.space.admit(true); err != nil {
		return err
	}
	if !used && a.head.Seq > 0 {
		return &DamageError{What: "database", Seq: 1, Why: fmt.Sprintf("its files are missing; the anchor knows %d commits", a.head.Seq)}
	}
	db, err := openDatabase(database, o.Logger)
	if lost := (*missingError)(nil); errors.As(err, &lost) && !o.trial {
		healed, merr := mend(o, lost)
		if merr != nil {
			return merr
		}
		a.healed = append(a.healed, healed)
		db, err = openDatabase(database, o.Logger)
	}
	if err != nil {
		return err
	}
	s.close = append(s.close, db.Close)
	s.space.takes = append(s.space.takes, db.flushes.check)
	if err := s.start(db, a); err != nil {
		return err
	}
	pageOut(database)
	return nil
}

// start joins the parts and recovers.
func (s *Store) start(c cells, a *anchor) error {
	s.cells, s.anchor, s.ring, s.healed = c, a, a.ring, a.healed
	return s.recover()
}

func holdsDatabase(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		// A database without its manifest would be emptied by Badger.
		files, err := os.ReadDir(dir)
		for _, f := range files {
			if ext := filepath.Ext(f.Name()); ext == ".sst" || ext == ".mem" {
				return false, &DamageError{What: "database", Why: badger.ManifestFilename + " is missing"}
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
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
		<-s.ended // whoever has returned from Close may open the store again
		return nil
	}
	defer close(s.ended)
	close(s.stop)
	<-s.stopped
	s.readers.Wait()
	return s.release()
}

// release gives back what open has taken, the last first.
func (s *Store) release() error {
	if s.shown != nil {
		s.shown.Close()
	}
	var errs []error
	for i := len(s.close) - 1; i >= 0; i-- {
		errs = append(errs, s.close[i]())
	}
	return errors.Join(errs...)
}

// shown is what readers see: the store as the last acknowledged batch left it.
// The database may be a batch ahead, and that batch may never be acknowledged.
type shown struct {
	view
	readers int
	old     bool
}

// enter lets a reader in unless the store is closed or in doubt. look, if any,
// runs at the same moment of the store as what is shown.
func (s *Store) enter(look func()) (*shown, error) {
	if s.broken.Load() {
		return nil, ErrUnknown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.readers.Add(1)
	s.shown.readers++
	if look != nil {
		look()
	}
	return s.shown, nil
}

func (s *Store) leave(v *shown) {
	s.mu.Lock()
	v.readers--
	last := v.old && v.readers == 0
	s.mu.Unlock()
	if last {
		v.Close()
	}
	s.readers.Done()
}

// show lets readers see what is durable now, all of it at once.
func (s *Store) show(head Committed, moves map[string]*item) {
	next := &shown{view: s.cells.Read()}
	s.mu.Lock()
	s.head = head
	s.outbox.apply(moves)
	before := s.shown
	s.shown = next
	unread := false
	if before != nil {
		before.old, unread = true, before.readers == 0
	}
	s.mu.Unlock()
	if unread {
		before.Close()
	}
}

// Disk says how much room the store has.
func (s *Store) Disk() (Disk, error) { return s.space.state() }

// Head returns the last commit: number and hash; zero before the first.
func (s *Store) Head() Committed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}
