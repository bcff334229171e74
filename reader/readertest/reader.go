package readertest

import (
	"context"
	"sync"
	"time"

	"tapkeeper/reader"
)

// Faults is how one visit of a phone goes wrong. Commands are counted from 1 in each activation; 0 is never.
type Faults struct {
	// RemoveBefore: the phone is taken away before this command reaches it.
	RemoveBefore int
	// RemoveAfter: the phone carries this command out, and is taken away before its answer reaches the reader.
	RemoveAfter int
	// Delay holds back each answer from command DelayFrom on (0: from the first). The phone has carried the command
	// out before the wait, so a reader that gives up does not know that.
	Delay     time.Duration
	DelayFrom int
}

// Reader is a reader.Reader inside the process. Phones are presented to it and taken away by a test. It has no
// goroutine between calls, and only timers and channels of its own, so it runs in a testing/synctest bubble too.
type Reader struct {
	name string

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced whenever anything below changes
	visits    []*visit      // the phones in the field
	card      *card         // the activation that has not been released
	awaiting  bool
	offUntil  time.Time
	unplugged chan struct{} // closed while the reader is not there
	isGone    bool
	closed    chan struct{}
	isClosed  bool
}

var _ reader.Stater = (*Reader)(nil)

// NewReader makes a reader with an empty field.
func NewReader(name string) *Reader {
	return &Reader{name: name, changed: make(chan struct{}), unplugged: make(chan struct{}), closed: make(chan struct{})}
}

// Present puts a phone into the field. Two phones at once make Await return ErrManyCards.
func (r *Reader) Present(p Phone) error { return r.PresentWith(p, Faults{}) }

// PresentWith is Present with faults.
func (r *Reader) PresentWith(p Phone, f Faults) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return reader.ErrClosed
	}
	r.visits = append(r.visits, &visit{phone: p, faults: f, gone: make(chan struct{})})
	r.broadcast()
	return nil
}

// Remove takes all phones out of the field.
func (r *Reader) Remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.visits {
		v.leave()
	}
	r.visits = nil
	r.broadcast()
}

func (r *Reader) dismiss(v *visit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.visits {
		if r.visits[i] == v {
			r.visits = append(r.visits[:i], r.visits[i+1:]...)
			break
		}
	}
	v.leave()
	r.broadcast()
}

// Unplug takes the reader itself away, and Plug brings it back.
func (r *Reader) Unplug() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isGone {
		r.isGone = true
		close(r.unplugged)
		r.broadcast()
	}
}

// Plug ends Unplug.
func (r *Reader) Plug() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isGone {
		r.isGone = false
		r.unplugged = make(chan struct{})
		r.broadcast()
	}
}

func (r *Reader) broadcast() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Name implements reader.Reader.
func (r *Reader) Name() string { return r.name }

// State implements reader.Stater.
func (r *Reader) State() reader.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isClosed:
		return reader.Closed
	case r.isGone:
		return reader.Missing
	case r.card != nil:
		return reader.InUse
	}
	return reader.Ready
}

// Close implements reader.Reader.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return nil
	}
	r.isClosed = true
	close(r.closed)
	for _, v := range r.visits {
		v.leave()
	}
	r.visits = nil
	r.broadcast()
	return nil
}

// Await implements reader.Reader.
func (r *Reader) Await(ctx context.Context) (reader.Card, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return nil, reader.ErrClosed
	}
	if r.awaiting || r.card != nil {
		return nil, reader.ErrBusy
	}
	r.awaiting = true
	defer func() { r.awaiting = false }()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dark := time.Until(r.offUntil)
		switch {
		case r.isClosed:
			return nil, reader.ErrClosed
		case r.isGone, dark > 0:
		case len(r.visits) > 1:
			return nil, reader.ErrManyCards
		case len(r.visits) == 1:
			c := &card{r: r, v: r.visits[0], unplugged: r.unplugged}
			if r.activate(ctx, c) == nil {
				return c, nil
			}
			continue // what ended it decides the next turn
		}
		r.wait(ctx, dark)
	}
}

// activate powers a phone, which may first have to finish a late command. It gives the lock up meanwhile.
func (r *Reader) activate(ctx context.Context, c *card) error {
	r.card = c
	r.mu.Unlock()
	powered := make(chan []byte, 1)
	go func() {
		c.activation = c.v.powerOn()
		powered <- nil
	}()
	_, err := c.await(ctx, powered)
	r.mu.Lock()
	if err != nil {
		r.card = nil
	}
	return err
}

// wait gives the lock up until something changes, ctx ends, or d has passed if it is positive.
func (r *Reader) wait(ctx context.Context, d time.Duration) {
	changed := r.changed
	r.mu.Unlock()
	defer r.mu.Lock()
	var lit <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		lit = t.C
	}
	select {
	case <-changed:
	case <-lit:
	case <-ctx.Done():
	}
}
