package queue

import (
	"context"
	"fmt"
	"runtime"
)

type request struct {
	commit Commit
	work   func() error // instead of a commit, beside the commits: it may touch the anchor
	answer chan answer  // holds one
}

type answer struct {
	done Committed
	err  error
}

// Commit makes c durable and returns its place in the journal. Once handed to
// the committer it is waited for, whatever becomes of ctx: a caller must learn
// the truth. Errors: *ConflictError (errors.Is ErrConflict), *CapError, ErrFull,
// ErrDisk, ErrUnknown, ErrClosed, a *DamageError found while reading, what a Seal
// returned, or a breach of the limits. Only ErrUnknown leaves open whether c is
// on the disk.
func (s *Store) Commit(ctx context.Context, c Commit) (Committed, error) {
	if err := c.check(); err != nil {
		return Committed{}, err
	}
	if gone := s.gone.Load(); gone != nil {
		return Committed{}, gone
	}
	return s.hand(ctx, &request{commit: c, answer: make(chan answer, 1)})
}

func (s *Store) hand(ctx context.Context, r *request) (Committed, error) {
	if err := ctx.Err(); err != nil {
		return Committed{}, err
	}
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

// run evaluates commits on what the batches before leave, while the writer
// makes the batch before durable: whoever comes meanwhile shares the next sync.
func (s *Store) run() {
	defer close(s.stopped)
	batches := make(chan *batch) // taken when the one before is answered
	written := make(chan struct{})
	go func() {
		defer close(written)
		for b := range batches {
			s.finish(b)
		}
	}()
	var last, next *batch
	for open := true; open || next != nil; {
		in, out := s.requests, batches
		if next == nil {
			out = nil
		} else if next.full() {
			in = nil
		}
		select {
		case r := <-in:
			if next == nil {
				next = s.newBatch(last)
			}
			next.take(r)
			s.gather(next)
		case out <- next:
			next.before, last, next = nil, next, nil
		case <-s.stop:
			open = false
			if next != nil {
				batches <- next
			}
			next = nil
		}
	}
	close(batches)
	<-written
}

// gather takes what is there already. Callers who were just answered come back
// with their next commit when they are let.
func (s *Store) gather(b *batch) {
	for yielded := false; !b.full(); {
		select {
		case r := <-s.requests:
			b.take(r)
			yielded = false
		default:
			if yielded {
				return
			}
			runtime.Gosched()
			yielded = true
		}
	}
}

// take puts a request into the batch, with the answer that it will get.
func (b *batch) take(r *request) {
	a := answer{err: b.room}
	if r.work != nil {
		b.requests, b.answers = append(b.requests, r), append(b.answers, answer{})
		return
	}
	if b.room != nil && r.commit.ends() {
		a.err = b.store.admit(true)
	}
	if a.err == nil {
		a.done, a.err = b.add(&r.commit)
	}
	b.requests, b.answers = append(b.requests, r), append(b.answers, a)
}

// finish makes a batch durable and answers it. Nothing is answered before the
// batch is durable, refusals neither: they may rest on a commit of it.
func (s *Store) finish(b *batch) {
	b.view.Close()
	err := s.write(b)
	for i, r := range b.requests {
		a := b.answers[i]
		if err != nil { // a refusal, too: it may rest on what is not on the disk
			a = answer{err: err}
		}
		if r.work != nil && err == nil {
			a.err = r.work()
		}
		r.answer <- a
	}
}

// admit says whether there is room.
func (s *Store) admit(ends bool) error {
	if s.space == nil {
		return nil
	}
	return s.space.admit(ends)
}

// ends says whether a commit brings something to its end: it owes the wallet a
// message, or takes something away. A commit that only adds is new work, and
// refused first when the disk fills up.
func (c *Commit) ends() bool {
	if len(c.Entries)+len(c.Done)+len(c.Park)+len(c.Release) > 0 {
		return true
	}
	for _, r := range c.Records {
		if r.Value == nil {
			return true
		}
	}
	return false
}

// write makes a batch durable, then tells its end to the anchor, then shows it.
// This order lets the anchor trail by one batch and never lead.
func (s *Store) write(b *batch) error {
	if s.broken.Load() {
		return ErrUnknown
	}
	if b.head == s.Head() {
		return nil // every commit of the batch was refused
	}
	err := s.cells.Write(b.seal())
	if err == nil {
		err = s.anchor.set(b.head)
	}
	if err != nil {
		s.broken.Store(true)
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	s.show(b.head, b.now)
	return nil
}
