package pcsc

import (
	"context"
	"errors"
	"sync"
	"time"

	"tapkeeper/reader"
)

// Control codes of libccid: CCID's escape command, and the list of features (PC/SC part 10), in which the escape stands
// only where ifdDriverOptions permits it.
const (
	codeEscape   = 0x42000001
	codeFeatures = 0x42000D48

	featureEscape = 0x13
)

// escapeTimeout bounds what is sent to a reader itself. A buzzer answers when it has ended, half a second later.
const escapeTimeout = 2 * time.Second

// Model is what is known about a reader of that name, or nil.
func (s *Service) Model(name string) *reader.Model { return reader.ModelOf(s.models, name) }

// escape sends one command to the reader itself, by the handle that is there or by one for the moment.
func (g *grip) escape(name string, commands ...[]byte) (last []byte, err error) {
	if err := g.establish(); err != nil {
		return nil, err
	}
	h := g.card
	if h == nil {
		if h, err = g.link.direct(name); err != nil {
			g.check(err)
			return nil, err
		}
		defer func() { _ = h.disconnect() }()
	}
	for _, command := range commands {
		if last, err = h.control(codeEscape, command); err != nil {
			g.check(err)
			return nil, err
		}
	}
	return last, nil
}

// prepare makes a reader ready that has just been plugged in: its setup escapes, and its firmware's version. What the
// reader refuses is left as it was; a reader without lights still takes payments.
func (r *Reader) prepare(ctx context.Context, sl slot, found bool) {
	r.mu.Lock()
	done := r.prepared == sl.name && found
	switch {
	case !found || sl.phase == away:
		r.prepared = ""
		done = true
	default:
		r.prepared = sl.name
	}
	r.mu.Unlock()
	model := r.s.Model(sl.name)
	if done || model == nil || !byControl(model) {
		return
	}
	h, err := r.readyHand()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, escapeTimeout)
	defer cancel()
	var version string
	rep := h.ask(ctx, r.closed, func(g *grip) reply {
		if model.Firmware.Ask != nil {
			answer, err := g.escape(sl.name, model.Firmware.Ask)
			if err != nil {
				return reply{err: err}
			}
			version = model.Firmware.Version(answer)
		}
		_, err := g.escape(sl.name, model.Setup...)
		return reply{err: err}
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if rep.err == nil {
		r.firmware = version
	}
	// Held by another program for a moment, or the context was a dead one: once more when something has changed.
	if w := why(rep.err); w == held || w == serviceLost {
		r.prepared = ""
	}
}

func byControl(m *reader.Model) bool {
	return m.Escape == reader.ByControl || m.Escape == reader.ByPermission
}

// cues is what a reader is to show.
type cues struct {
	mu      sync.Mutex
	next    *reader.Cue // not shown yet
	running bool
	sending sync.WaitGroup
}

// end returns when nothing is sent any more. The reader is closed already.
func (c *cues) end() {
	c.mu.Lock() // a show that began before the reader was closed has started its goroutine now
	c.next = nil
	c.mu.Unlock()
	c.sending.Wait()
}

// Signal implements reader.Signaller. The last cue wins.
func (r *Reader) Signal(c reader.Cue) {
	r.cues.mu.Lock()
	r.cues.next = &c
	r.cues.mu.Unlock()
	r.show()
}

// show sends the cue that waits, in a goroutine of its own, unless a phone is activated: a light between two commands
// would be in the measured time of the second.
func (r *Reader) show() {
	r.cues.mu.Lock()
	defer r.cues.mu.Unlock()
	if r.cues.next == nil || r.cues.running || r.inUse() || r.stopped(context.Background()) != nil {
		return
	}
	r.cues.running = true
	r.cues.sending.Go(r.sendCues)
}

func (r *Reader) inUse() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.card != nil
}

func (r *Reader) sendCues() {
	for {
		r.cues.mu.Lock()
		c := r.cues.next
		if c == nil || r.inUse() || r.stopped(context.Background()) != nil {
			r.cues.running = false
			r.cues.mu.Unlock()
			return
		}
		r.cues.next = nil
		r.cues.mu.Unlock()
		if r.sendCue(*c) {
			continue
		}
		r.cues.mu.Lock()
		if r.cues.next == nil {
			r.cues.next = c
		}
		r.cues.mu.Unlock()
	}
}

// sendCue returns false when a phone came in between, and the cue is to be shown later.
func (r *Reader) sendCue(c reader.Cue) bool {
	v, _ := r.s.look()
	sl, found := choose(v.slots, r.want)
	if !v.up || !found || sl.phase == away {
		return true
	}
	model := r.s.Model(sl.name)
	if model == nil || !byControl(model) || len(model.Cues[c]) == 0 {
		return true
	}
	h, err := r.readyHand()
	if err != nil {
		return true
	}
	for _, step := range model.Cues[c] {
		err := r.sendStep(h, sl.name, step.Send)
		if errors.Is(err, errTooLate) {
			return false
		}
		if err != nil {
			return true
		}
		select {
		case <-time.After(step.Pause):
		case <-r.closed:
		}
	}
	return true
}

func (r *Reader) sendStep(h *hand, name string, command []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), escapeTimeout)
	defer cancel()
	return h.ask(ctx, r.closed, func(g *grip) reply {
		if g.card != nil {
			return reply{err: errTooLate} // a phone came in between
		}
		_, err := g.escape(name, command)
		return reply{err: err}
	}).err
}

var errTooLate = errors.New("a phone is activated")

// Model is what is known about the reader that is there now, or nil.
func (r *Reader) Model() *reader.Model {
	v, _ := r.s.look()
	if sl, found := choose(v.slots, r.want); found {
		return r.s.Model(sl.name)
	}
	return nil
}

// Firmware is the version of the reader's firmware, and what is known against it; "" when it does not tell.
func (r *Reader) Firmware() (version string, bad *reader.BadFirmware) {
	v, _ := r.s.look()
	sl, _ := choose(v.slots, r.want)
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.s.Model(sl.name); m != nil && r.firmware != "" {
		return r.firmware, m.Firmware.Judge(r.firmware)
	}
	return r.firmware, nil
}
