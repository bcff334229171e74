// Package virtual is a card reader without hardware: a unix socket on which one connection is one phone in the field.
// A second phone waits in the backlog until the first has gone. The wire is vpcd's, so the program that is a phone for
// pcscd's virtual driver over TCP is one here too.
//
// The socket takes whoever may write to its file, which is the owner alone. A phone that speaks out of turn, or does
// not give its ATR, is thrown out. The reader is for demonstrations and tests; a configuration that says live must
// refuse it.
package virtual

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"tapkeeper/reader"
)

// selectTimeout bounds the answer to the ATR request. It is generous because a phone first finishes the command whose
// answer the reader did not wait for (FWT and WTX allow 5 s).
const selectTimeout = 6 * time.Second

// Reader implements reader.Reader and reader.Stater.
type Reader struct {
	path     string
	listener *net.UnixListener
	closed   chan struct{}
	stopped  chan struct{} // closed when the accepting goroutine has ended

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when a phone comes, goes or is released
	link     *link         // the phone in the field, or nil
	card     *card         // the activation that has not been released, or nil
	awaiting bool
	offUntil time.Time
	isClosed bool
}

var (
	_ reader.Reader = (*Reader)(nil)
	_ reader.Stater = (*Reader)(nil)
)

// Listen opens the field at path. It takes the place of a socket on which nobody listens any more; reader.ErrBusy is
// returned when somebody does, and a file that is no socket is left alone.
func Listen(path string) (*Reader, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("open virtual reader: %w", err)
	}
	r := &Reader{
		path: path, listener: l, closed: make(chan struct{}), stopped: make(chan struct{}), changed: make(chan struct{}),
	}
	go r.accept()
	return r, nil
}

// Name implements reader.Reader.
func (r *Reader) Name() string { return "virtual " + r.path }

// State implements reader.Stater.
func (r *Reader) State() reader.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isClosed:
		return reader.Closed
	case r.card != nil:
		return reader.InUse
	}
	return reader.Ready
}

// Close implements reader.Reader. It removes the socket's file.
func (r *Reader) Close() error {
	r.mu.Lock()
	if r.isClosed {
		r.mu.Unlock()
		<-r.stopped
		return nil
	}
	r.isClosed = true
	close(r.closed)
	if r.link != nil {
		r.link.conn.Close()
	}
	r.mu.Unlock()
	err := r.listener.Close()
	<-r.stopped
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close virtual reader: %w", err)
	}
	return nil
}

// acceptPause keeps a listener that fails (no file descriptors left) from spinning.
const acceptPause = 50 * time.Millisecond

// accept takes one phone after the other, and reads what it sends until it has gone.
func (r *Reader) accept() {
	defer close(r.stopped)
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			select {
			case <-r.closed:
				return
			case <-time.After(acceptPause):
				continue
			}
		}
		l := &link{conn: conn, gone: make(chan struct{})}
		if !r.setLink(l) {
			conn.Close()
			return
		}
		l.pump()
		r.setLink(nil)
	}
}

func (r *Reader) setLink(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link = l
	r.broadcast()
	return !r.isClosed
}

func (r *Reader) broadcast() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Await implements reader.Reader.
func (r *Reader) Await(ctx context.Context) (reader.Card, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	defer r.end()
	for {
		l, err := r.next(ctx)
		if err != nil {
			return nil, err
		}
		if err := l.selectPhone(ctx, r.closed); err != nil {
			if err := r.stop(ctx); err != nil {
				l.powerOff()
				return nil, err
			}
			l.conn.Close() // a phone that does not give its ATR is as good as none
			<-l.gone
			continue
		}
		c := &card{r: r, l: l}
		r.mu.Lock()
		r.card = c
		r.mu.Unlock()
		return c, nil
	}
}

func (r *Reader) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isClosed:
		return reader.ErrClosed
	case r.awaiting || r.card != nil:
		return reader.ErrBusy
	}
	r.awaiting = true
	return nil
}

func (r *Reader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awaiting = false
}

// stop says why a wait must end, or nil.
func (r *Reader) stop(ctx context.Context) error {
	select {
	case <-r.closed:
		return reader.ErrClosed
	default:
		return ctx.Err()
	}
}

// next waits until there is a phone and the field may be on.
func (r *Reader) next(ctx context.Context) (*link, error) {
	for {
		if err := r.stop(ctx); err != nil {
			return nil, err
		}
		r.mu.Lock()
		l, changed, dark := r.link, r.changed, time.Until(r.offUntil)
		r.mu.Unlock()
		if l != nil && dark <= 0 && !l.isGone() {
			return l, nil
		}
		r.sleep(ctx, changed, dark)
	}
}

// sleep ends when something changes, when ctx ends, or after d if it is positive.
func (r *Reader) sleep(ctx context.Context, changed <-chan struct{}, d time.Duration) {
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
	case <-r.closed:
	}
}

func (r *Reader) released(c *card, fieldOff time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.card == c {
		r.card = nil
		r.offUntil = time.Now().Add(fieldOff)
		r.broadcast()
	}
}
