package lane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/queue"
	"tapkeeper/terminal"
	"tapkeeper/uplink/wire"
)

// journal lets a terminal keep its payments in a queue.
type journal struct {
	store *queue.Store
	clock *clock
}

var (
	_ terminal.Journal   = journal{}
	_ terminal.Forwarded = journal{}
)

func (j journal) Get(kind, key string) ([]byte, bool, error) { return j.store.Get(kind, key) }

func (j journal) Each(kind, prefix string, fn func(key string, value []byte) error) error {
	return j.store.Each(kind, prefix, fn)
}

func (j journal) Count(name string) (int64, error) { return j.store.Count(name) }

func (j journal) Commit(ctx context.Context, c terminal.Commit) (uint64, error) {
	q := queue.Commit{Event: c.Event, Done: c.Done, Release: c.Release}
	for _, g := range c.Guards {
		q.Guards = append(q.Guards, queue.Guard(g))
	}
	for _, r := range c.Records {
		q.Records = append(q.Records, queue.Record(r))
	}
	for _, e := range c.Entries {
		q.Entries = append(q.Entries, queue.Entry{ID: e.ID, Group: e.Group, Kind: e.Kind, Priority: priorityOf(e.Kind), Seal: e.Seal})
	}
	for _, p := range c.Park {
		q.Park = append(q.Park, queue.Park(p))
	}
	for _, n := range c.Counts {
		q.Counts = append(q.Counts, queue.Count(n))
	}
	done, err := j.store.Commit(ctx, q)
	if err == nil {
		j.clock.stored(time.Now())
	}
	return done.Seq, journalError(err)
}

// Sent implements terminal.Forwarded.
func (j journal) Sent(message terminal.ID) bool { return j.store.WasSent(message.String()) }

// priorityOf lets money that must go back leave before money that comes in, and
// both before reports.
func priorityOf(kind string) queue.Priority {
	switch wire.Kind(kind) {
	case wire.KindReversal:
		return queue.PriorityReversal
	case wire.KindAdvice:
		return queue.PriorityAdvice
	}
	return queue.PriorityRest
}

// journalError says in the terminal's words what a commit came to.
func journalError(err error) error {
	var limit *queue.CapError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limit):
		return &terminal.CapError{Counter: limit.Name, Cap: limit.Cap}
	case errors.Is(err, queue.ErrConflict):
		return fmt.Errorf("%w: %w", terminal.ErrConflict, err)
	case errors.Is(err, queue.ErrUnknown):
		return fmt.Errorf("%w: %w", terminal.ErrUncertain, err)
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrDisk), errors.Is(err, queue.ErrClosed):
		return fmt.Errorf("%w: %w", terminal.ErrStorage, err)
	}
	return err
}
