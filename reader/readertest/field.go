package readertest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Field is where a test puts its phone; Remove without a phone does nothing.
type Field interface {
	Present(Phone) error
	Remove()
}

// DialField is the Field of a reader that listens at an address: "unix" and a path for reader/virtual, "tcp" and
// host:port for pcscd's virtual reader. One phone at a time.
type DialField struct {
	Network, Address string

	mu   sync.Mutex
	stop context.CancelFunc
	done chan struct{}
}

// dialTimeout is far more than a local listener needs, and less than a test's patience.
const dialTimeout = 5 * time.Second

// Present connects the phone and serves it in a goroutine until Remove.
func (f *DialField) Present(phone Phone) error {
	f.Remove()
	conn, err := net.DialTimeout(f.Network, f.Address, dialTimeout)
	if err != nil {
		return fmt.Errorf("hold a phone to the reader: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Serve(ctx, conn, phone) // how the visit ended is seen at the reader
	}()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stop, f.done = stop, done
	return nil
}

// Remove takes the phone away, as hands do: at once, and in the middle of an exchange if there is one. The phone may
// still be at work on its last command when Remove returns; Wait waits for that.
func (f *DialField) Remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

// Wait returns when the phone that was removed, or has left, is done with its last command.
func (f *DialField) Wait() {
	f.mu.Lock()
	done := f.done
	f.mu.Unlock()
	if done != nil {
		<-done
	}
}
