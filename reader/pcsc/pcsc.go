// Package pcsc is a card reader behind pcscd. It is written against what pcscd, libpcsclite and ebfe/scard were
// measured to do, not against their manuals:
//
//   - One goroutine of one Service waits for events, for all readers together. Two waits for the same reader corrupt
//     memory in scard, and any other call on a context that waits freezes libpcsclite for the whole process. So a
//     process makes one Service.
//   - Each Reader has a context of its own, touched by one goroutine only. A call that is overdue cannot be cancelled:
//     its goroutine and context are left to end by themselves, and the next tap gets new ones.
//   - A context that has lost pcscd is dead for ever, although it says that it is valid. It is thrown away and made
//     anew, with growing pauses.
//   - A reader that is not there is waited for; State says so meanwhile.
//
// The package needs cgo and libpcsclite. Built without, or with the tag nopcsc, New, List and Describe return
// ErrNotBuilt. It refuses contact cards, sends readers the escape commands of their model and no others, never looks
// into a command, and takes no card's number (UID) for anything.
package pcsc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tapkeeper/reader"
)

// ErrNotBuilt is returned by New and List of a binary without PC/SC.
var ErrNotBuilt = errors.New("this binary was built without PC/SC (it needs cgo and no tag nopcsc)")

// Limits of the wait for events.
const (
	// waitSlice is the longest wait for events. It must be finite: an event between two waits is lost before pcsc-lite
	// 2.3.0, a Cancel between two waits always is: a reader that is plugged in just then is found this much later.
	waitSlice = time.Second
	// staleAfter is when a watch that has not come round is taken for a pcscd that hangs.
	staleAfter = waitSlice + 3*time.Second
	// closeTimeout is how long Close waits for a call that cannot be cancelled.
	closeTimeout = waitSlice + time.Second
	// firstPause doubles up to lastPause between two attempts to reach pcscd.
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
	// maxReaders is what pcsc-lite allows in one wait, less the entry for plug and play.
	maxReaders = 15
)

// Service watches all PC/SC readers of the machine. A process has one.
type Service struct {
	system system
	models []reader.Model
	stop   chan struct{} // closed by Close
	ended  chan struct{} // closed when the watching goroutine has ended

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced with each new view
	view     view
	doubts   map[string]*doubt // slots whose event word is not to be believed
	isClosed bool

	linkMu    sync.Mutex
	link      link // the context in which the watch waits; only cancel is called from outside
	cancels   sync.WaitGroup
	canceling atomic.Bool
	canceled  bool // guarded by mu: the watch has ended, and nothing is left to cancel
}

// view is what the watch has seen last.
type view struct {
	known     bool // false until the first answer or failure
	up        bool // pcscd answers
	forbidden bool // pcscd may be there, but not for this user
	slots     []slot
	at        time.Time
}

// New starts to watch. It does not need a pcscd or a reader to be there. Of readers that a model knows, lights, tones,
// polling and firmware are used as the model says; without models each reader is taken as it comes.
func New(models ...reader.Model) (*Service, error) {
	sys, err := open()
	if err != nil {
		return nil, err
	}
	return newService(sys, models...), nil
}

func newService(sys system, models ...reader.Model) *Service {
	s := &Service{
		system: sys, models: models, stop: make(chan struct{}), ended: make(chan struct{}), changed: make(chan struct{}),
		doubts: map[string]*doubt{},
	}
	s.view.at = time.Now()
	go s.run()
	return s
}

// List asks pcscd for the names of its readers, in its order. It is meant for a start that wants to say at once that
// there is none, and for people who have to write a name into a configuration. It returns when ctx ends at the latest.
func List(ctx context.Context) ([]string, error) {
	sys, err := open()
	if err != nil {
		return nil, err
	}
	type result struct {
		names []string
		err   error
	}
	done := make(chan result, 1)
	go func() { // a frozen pcscd keeps the call, and this goroutine, for as long as it likes
		names, err := list(sys)
		done <- result{names, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("list PC/SC readers: %w", outward(r.err))
		}
		return r.names, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("list PC/SC readers: %w", ctx.Err())
	}
}

func list(sys system) ([]string, error) {
	l, err := sys.establish()
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.release() }()
	return readers(l)
}

// readers: no reader at all is an answer, not an error.
func readers(l link) ([]string, error) {
	names, err := l.listReaders()
	if why(err) == noReaders {
		return nil, nil
	}
	return names, err
}

// Readers is the names that List would return, as the watch has last seen them.
func (s *Service) Readers() []string {
	v, _ := s.look()
	var names []string
	for _, sl := range v.slots {
		names = append(names, sl.name)
	}
	return names
}

// Reader is the reader of a name as Advice gives it, or of a full PC/SC name, or with an empty name the first one that
// can be contactless. Nothing is opened: the reader may come later.
func (s *Service) Reader(name string) *Reader {
	return &Reader{s: s, want: name, closed: make(chan struct{})}
}

// Close ends the watch, and the waits of all readers of this Service. When pcscd hangs it gives up after two seconds
// and returns an error.
func (s *Service) Close() error {
	s.mu.Lock()
	if !s.isClosed {
		s.isClosed = true
		close(s.stop)
	}
	s.mu.Unlock()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	again := time.NewTicker(20 * time.Millisecond) // a Cancel that comes before the wait does nothing
	defer again.Stop()
	for {
		s.refresh()
		select {
		case <-s.ended:
			s.mu.Lock()
			s.canceled = true // a Wait must not meet a Go
			s.mu.Unlock()
			s.cancels.Wait()
			return nil
		case <-again.C:
		case <-timeout.C:
			return fmt.Errorf("close PC/SC: %w: a call to pcscd does not return", reader.ErrBusy)
		}
	}
}

// look returns the last view and what is closed when there is a newer one.
func (s *Service) look() (view, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.known && time.Since(v.at) > staleAfter {
		v.up = false
	}
	return v, s.changed
}

// refresh makes the watch look again at once. pcscd does not tell of all that changes by the calls of its clients. It is
// done beside: a Cancel speaks to pcscd, and one that is frozen does not answer.
func (s *Service) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.canceled || !s.canceling.CompareAndSwap(false, true) {
		return
	}
	s.cancels.Go(func() {
		defer s.canceling.Store(false)
		s.linkMu.Lock()
		defer s.linkMu.Unlock()
		if s.link != nil {
			_ = s.link.cancel() // no harm, and no use, between two waits
		}
	})
}

func (s *Service) publish(v view) {
	v.known, v.at = true, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.view
	s.settle(v.slots)
	s.view = v
	if old.known && old.up == v.up && old.forbidden == v.forbidden && slices.Equal(old.slots, v.slots) {
		return
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
