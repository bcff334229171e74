package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// groupMax bounds the updates that share a commit: the sync is paid by then,
	// and what a failure must run again stays small.
	groupMax = 128
	// updateTime bounds a group, waits for other writers included. It is longer
	// than the databases' own limits, so that theirs end it with a reason.
	updateTime = 30 * time.Second
)

// waiter is a caller of Update that waits.
type waiter struct {
	ctx  context.Context
	keys []string // nil: all
	fn   func(*Tx) error
	done chan error // of one
}

// Update runs fn with the only right to write and commits what it did. When fn
// fails nothing is kept. When Update itself fails after fn succeeded, the
// outcome is unknown: run it again, every operation may be repeated. fn may be
// run more than once; what it told before is void then.
func (l *Ledger) Update(ctx context.Context, fn func(*Tx) error) error {
	return l.enqueue(&waiter{ctx: ctx, fn: fn, done: make(chan error, 1)})
}

// UpdateKeys is Update with the only right to write what belongs to the keys: so
// that others may write the rest at the same time. A key is a merchant's id, for
// its account, terminals, messages, payments and refunds, or the id of a payer's
// account, for its devices and whatever these have done. Balances may be moved
// without their key, but not be relied on.
func (l *Ledger) UpdateKeys(ctx context.Context, keys []string, fn func(*Tx) error) error {
	if len(keys) == 0 {
		return errors.New("update the ledger: no keys")
	}
	return l.enqueue(&waiter{ctx: ctx, keys: keys, fn: fn, done: make(chan error, 1)})
}

// enqueue waits for the outcome, or for the turn to write for all who wait.
func (l *Ledger) enqueue(u *waiter) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	l.waiting = append(l.waiting, u)
	l.mu.Unlock()
	for {
		select {
		case err := <-u.done:
			return err
		case l.turns <- struct{}{}:
			l.write()
			<-l.turns
		}
	}
}

// write runs those who wait as one transaction. When one of them fails, all are
// undone and each is run by itself: the failing one alone bears its error.
func (l *Ledger) write() {
	l.mu.Lock()
	n := min(len(l.waiting), groupMax)
	group := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	l.mu.Unlock()
	switch {
	case n == 0: // somebody else was faster
		return
	case n > 1 && l.together(group) == nil:
		for _, u := range group {
			u.done <- nil
		}
		return
	}
	for _, u := range group {
		u.done <- l.together([]*waiter{u})
	}
}

// together runs a group in one transaction.
func (l *Ledger) together(group []*waiter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(group[0].ctx), updateTime)
	defer cancel()
	return l.store.update(ctx, keysOf(group), func(tx *Tx) error {
		for _, u := range group {
			if err := u.ctx.Err(); err != nil {
				return fmt.Errorf("update the ledger: %w", err)
			}
			if p, ok := tx.sql.(pipeliner); ok {
				p.forget()
			}
			if err := u.fn(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// keysOf joins the keys of a group; nil when one of them wants all.
func keysOf(group []*waiter) []string {
	var keys []string
	for _, u := range group {
		if u.keys == nil {
			return nil
		}
		keys = append(keys, u.keys...)
	}
	return keys
}
