package pcsc

import (
	"slices"
	"sync"
	"time"

	"tapkeeper/reader/readertest"
)

// fakeLite is a PC/SC in the process: it has one pcscd, readers that can be plugged, and phones. It does what was
// measured of the real one, also that a dead context stays dead and that a transmit cannot be cancelled.
type fakeLite struct {
	mu       sync.Mutex
	changed  chan struct{}
	life     int // counts the lives of pcscd; a context belongs to one
	up       bool
	readers  []string
	contexts int
	visits   map[string]*fakeVisit
	waits    int // waits that run now
	worst    int // the most that ever ran
	denied   code
}

type fakeVisit struct {
	phone readertest.Phone
	atr   []byte
	gone  chan struct{}
	owner *fakeHandle
	mu    sync.Mutex // one call of the phone at a time
}

func newFake(readers ...string) *fakeLite {
	return &fakeLite{changed: make(chan struct{}), up: true, readers: readers, visits: map[string]*fakeVisit{}}
}

// change makes a change and wakes the waits.
func (f *fakeLite) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeLite) plug(name string) { f.change(func() { f.readers = append(f.readers, name) }) }
func (f *fakeLite) start()           { f.change(func() { f.up = true }) }
func (f *fakeLite) kill()            { f.change(func() { f.up = false; f.life++ }) }
func (f *fakeLite) unplug(name string) {
	f.change(func() {
		f.readers = slices.DeleteFunc(f.readers, func(n string) bool { return n == name })
		f.take(name)
	})
}

func (f *fakeLite) take(name string) {
	if v := f.visits[name]; v != nil {
		close(v.gone)
		delete(f.visits, name)
		go func() { v.mu.Lock(); defer v.mu.Unlock(); v.phone.PowerOff() }()
	}
}

// fakeField is the field of one reader.
type fakeField struct {
	f    *fakeLite
	name string
}

func (d fakeField) Present(p readertest.Phone) error {
	d.f.change(func() {
		d.f.take(d.name)
		atr := readertest.ATR()
		if own, ok := p.(interface{ ATR() []byte }); ok {
			atr = own.ATR()
		}
		d.f.visits[d.name] = &fakeVisit{phone: p, atr: atr, gone: make(chan struct{})}
	})
	return nil
}

func (d fakeField) Remove() { d.f.change(func() { d.f.take(d.name) }) }

func (f *fakeLite) establish() (link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.up {
		return nil, codeNoService
	}
	f.contexts++
	return &fakeLink{f: f, life: f.life, cancelled: make(chan struct{}, 1)}, nil
}

type fakeLink struct {
	f         *fakeLite
	life      int
	cancelled chan struct{}
	waiting   bool
}

func (l *fakeLink) dead() bool { return !l.f.up || l.f.life != l.life }

func (l *fakeLink) listReaders() ([]string, error) {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	switch {
	case l.dead():
		return nil, codeNoService
	case len(l.f.readers) == 0:
		return nil, codeNoReaders
	}
	return slices.Clone(l.f.readers), nil
}

func (l *fakeLink) wait(entries []entry, timeout time.Duration) error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.f.waits++
	l.f.worst = max(l.f.worst, l.f.waits)
	l.waiting = true
	defer func() { l.f.waits--; l.waiting = false }()
	count := len(l.f.readers)
	end := time.NewTimer(timeout)
	defer end.Stop()
	for {
		if l.dead() {
			return codeCommError
		}
		if l.f.fill(entries, count) {
			return nil
		}
		changed := l.f.changed
		l.f.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-l.cancelled:
			err = codeCancelled
		case <-end.C:
			err = codeTimeout
		}
		l.f.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// fill sets the events and says whether there is one.
func (f *fakeLite) fill(entries []entry, count int) (event bool) {
	for i := range entries {
		e := &entries[i]
		now := f.word(e.reader, count)
		if e.reader != plugAndPlay && !slices.Contains(f.readers, e.reader) {
			now = 0x0C
		}
		if v := f.visits[e.reader]; v != nil {
			e.atr = v.atr
		}
		if e.event = now; now != e.state {
			e.event |= flagChanged
			event = true
		}
	}
	return event
}

func (f *fakeLite) word(name string, count int) flags {
	switch v := f.visits[name]; {
	case name == plugAndPlay && len(f.readers) != count:
		return flagChanged
	case name == plugAndPlay:
		return 0
	case v == nil:
		return 0x10
	case v.owner != nil:
		return flagPresent | flagExclusive
	default:
		return flagPresent
	}
}

func (l *fakeLink) cancel() error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	if l.waiting {
		select {
		case l.cancelled <- struct{}{}:
		default:
		}
	}
	return nil
}

func (l *fakeLink) release() error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.f.contexts--
	return nil
}

func (l *fakeLink) connect(name string) (handle, error) {
	l.f.mu.Lock()
	v := l.f.visits[name]
	switch {
	case l.dead():
		l.f.mu.Unlock()
		return nil, codeNoService
	case l.f.denied != 0:
		l.f.mu.Unlock()
		return nil, l.f.denied
	case v == nil:
		l.f.mu.Unlock()
		return nil, codeNoSmartcard
	case v.owner != nil:
		l.f.mu.Unlock()
		return nil, codeSharing
	}
	h := &fakeHandle{l: l, v: v}
	v.owner = h
	l.f.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.phone.PowerOn()
	return h, nil
}

// fakeDirect is a reader that takes every escape.
type fakeDirect struct{ *fakeHandle }

func (fakeDirect) transmit([]byte) ([]byte, error) { return nil, codeNoSmartcard }
func (fakeDirect) disconnect() error               { return nil }

func (l *fakeLink) direct(string) (handle, error) { return fakeDirect{}, nil }

func (h *fakeHandle) control(uint32, []byte) ([]byte, error) { return []byte{0x90, 0x00}, nil }

func (l *fakeLink) force(name string) (handle, error) { return l.connect(name) }

type fakeHandle struct {
	l *fakeLink
	v *fakeVisit
}

func (h *fakeHandle) transmit(command []byte) ([]byte, error) {
	answered := make(chan []byte, 1)
	go func() { h.v.mu.Lock(); defer h.v.mu.Unlock(); answered <- h.v.phone.Transmit(command) }()
	select {
	case <-h.v.gone:
		return nil, codeNotTransacted
	default:
	}
	for {
		h.l.f.mu.Lock()
		changed, dead := h.l.f.changed, h.l.dead()
		h.l.f.mu.Unlock()
		if dead {
			return nil, codeCommError
		}
		select {
		case answer := <-answered:
			if answer == nil {
				return nil, codeNotTransacted
			}
			return answer, nil
		case <-h.v.gone:
			return nil, codeNotTransacted
		case <-changed:
		}
	}
}

func (h *fakeHandle) disconnect() error {
	h.v.mu.Lock()
	h.v.phone.PowerOff()
	h.v.mu.Unlock()
	h.l.f.change(func() { h.v.owner = nil })
	return nil
}
