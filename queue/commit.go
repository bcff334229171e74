package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"
)

type request struct {
	commit Commit
	answer chan answer // holds one
}

type answer struct {
	done Committed
	err  error
}

// Commit makes c durable and returns its place in the journal. Once handed to
// the committer it is waited for, whatever becomes of ctx: a caller must learn
// the truth. Errors: *ConflictError (errors.Is ErrConflict), *CapError, ErrFull,
// ErrUnknown, ErrClosed, a *DamageError found while reading, what a Seal
// returned, or a breach of the limits. Only ErrUnknown leaves open whether c is
// on the disk.
func (s *Store) Commit(ctx context.Context, c Commit) (Committed, error) {
	if err := c.check(); err != nil {
		return Committed{}, err
	}
	if err := ctx.Err(); err != nil {
		return Committed{}, err
	}
	r := &request{commit: c, answer: make(chan answer, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return Committed{}, ctx.Err()
	case <-s.stop:
		return Committed{}, ErrClosed
	}
	a := <-r.answer
	return a.done, a.err
}

// run is the only goroutine that writes.
func (s *Store) run() {
	defer close(s.stopped)
	var held []*request
	for {
		batch := s.gather(held)
		if batch == nil {
			return
		}
		held = s.commitBatch(batch)
	}
}

// gather waits for a request and takes what else is there: while one batch
// syncs, the callers of the next line up. It returns nil at the end.
func (s *Store) gather(batch []*request) []*request {
	if len(batch) == 0 {
		select {
		case r := <-s.requests:
			batch = append(batch, r)
		case <-s.stop:
			return nil
		}
		runtime.Gosched() // callers just answered come back with their next commit
	}
	for len(batch) < maxBatch {
		select {
		case r := <-s.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// commitBatch answers every request of the batch but those it returns, which
// did not fit. Nothing is answered before the batch is durable, refusals
// neither: they may rest on a commit of the same batch.
func (s *Store) commitBatch(requests []*request) (rest []*request) {
	if err := s.admit(); err != nil {
		for _, r := range requests {
			r.answer <- answer{err: err}
		}
		return nil
	}
	b := s.newBatch()
	defer b.txn.Discard()
	answers := make([]answer, 0, len(requests))
	for i, r := range requests {
		if b.full() {
			requests, rest = requests[:i], requests[i:]
			break
		}
		done, err := b.add(&r.commit)
		answers = append(answers, answer{done, err})
	}
	if err := s.write(b); err != nil {
		for i := range answers {
			if answers[i].err == nil {
				answers[i] = answer{err: err}
			}
		}
	}
	for i, r := range requests {
		r.answer <- answers[i]
	}
	return rest
}

// admit refuses work while the state is unknown or the disk too full.
func (s *Store) admit() error {
	if s.broken.Load() {
		return ErrUnknown
	}
	return s.gate()
}

// gate wants room for what Badger may write before it frees anything.
func (s *Store) gate() error {
	if err := s.measureTables(); err != nil {
		return fmt.Errorf("measure the database: %w", err)
	}
	free, err := s.free(s.dir)
	if err != nil {
		return err
	}
	if need := minFree + s.tables; free < need {
		return fmt.Errorf("%w: %d MiB free, %d MiB needed", ErrFull, free>>20, need>>20+1)
	}
	return nil
}

// measureTables looks again when the directory has changed.
func (s *Store) measureTables() error {
	at, err := modified(s.databaseDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && at.Equal(s.tablesAt) {
		return nil
	}
	if err == nil {
		s.tables, err = tableBytes(s.databaseDir)
		s.tablesAt = at
	}
	return err
}

// write makes a batch durable, then tells its end to the anchor, then shows it.
// This order lets the anchor trail by one batch and never lead.
func (s *Store) write(b *batch) error {
	if b.failed != nil {
		return b.failed
	}
	if b.head == s.Head() {
		return nil // every commit of the batch was refused
	}
	if err := s.persist(b); err != nil {
		s.broken.Store(true)
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	s.setHead(b.head)
	s.outbox.apply(b.now)
	return nil
}

func (s *Store) persist(b *batch) (err error) {
	defer rescue(&err)
	if err := s.commitTxn(b.txn); err != nil {
		return fmt.Errorf("write to the database: %w", err)
	}
	if err := s.syncNames(); err != nil {
		return err
	}
	return s.anchor.set(b.head)
}

// syncNames makes the names of new files durable: Badger syncs the bytes of the
// log it has just turned to, but not its directory.
func (s *Store) syncNames() error {
	at, err := modified(s.databaseDir)
	if err != nil {
		return err
	}
	if at.Equal(s.namesAt) {
		return nil
	}
	if err := syncPath(s.databaseDir); err != nil {
		return fmt.Errorf("sync the database's directory: %w", err)
	}
	s.namesAt = at
	return nil
}

func modified(dir string) (time.Time, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at the database's directory: %w", err)
	}
	return info.ModTime(), nil
}
