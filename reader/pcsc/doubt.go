package pcsc

import (
	"slices"
	"time"
)

// Why slots are doubted is told in docs/decisions/0017-empty-slots-are-doubted.md.

// doubt is that a slot's event word may not be the truth.
type doubt struct {
	count flags // pcscd's count then; any other means that its polling thread has looked, and ends the doubt
	// fresh: the watch has just begun, and another program may have left the slot wrong. Nobody knows, so that a few
	// looks without a card end the doubt, at until.
	fresh bool
	until time.Time // zero before the first look
	// quiet is set when a look has found a card. It is not taken before: if pcscd's polling thread has not seen it yet, it
	// will, and then power it anew in the middle of the tap. If nothing is counted until then, the thread has known it
	// all along.
	quiet time.Time
}

// freshDoubt is longer than pcscd's polling takes, on a busy machine too: a phone that came or went since is counted.
const freshDoubt = 1500 * time.Millisecond

// quietTime is two polls of pcscd.
const quietTime = 800 * time.Millisecond

// proven says whether a card that answers in a doubtful slot may be taken, and if not yet, how long to wait; 0 is to
// look whether there is a card at all.
func (s *Service) proven(sl slot) (yes bool, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.doubts[sl.name]
	if d == nil || !d.fresh || d.count != sl.count {
		return true, 0
	}
	if !d.quiet.IsZero() {
		if wait = time.Until(d.quiet); wait > 0 {
			return false, wait
		}
		d.fresh = false
		return true, 0
	}
	return false, 0
}

// found notes that a look has found a card.
func (s *Service) found(sl slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubts[sl.name] = &doubt{count: sl.count, fresh: true, quiet: time.Now().Add(quietTime)}
}

// doubt makes a slot doubtful until pcscd's polling thread has counted something. A card that is taken meanwhile does
// not end that: the wrong ATR which the failure has left in the view stays there.
func (s *Service) doubt(sl slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.doubts[sl.name]
	switch {
	case d == nil || d.count != sl.count || d.fresh && sl.phase == present:
		s.doubts[sl.name] = &doubt{count: sl.count}
	case d.fresh && d.until.IsZero():
		d.until = time.Now().Add(freshDoubt)
	}
}

// settle marks the slots of a new view that are doubtful. The mutex is held.
func (s *Service) settle(slots []slot) {
	now := time.Now()
	for name := range s.doubts { // of a reader that comes back pcscd counts anew
		if !slices.ContainsFunc(slots, func(sl slot) bool { return sl.name == name }) {
			delete(s.doubts, name)
		}
	}
	for i := range slots {
		sl := &slots[i]
		// Somebody may have had a card here before this watch, been killed in a tap, and the phone held to the reader again
		// before pcscd looked: then the slot says empty for as long as the phone is there.
		if sl.unproven && sl.phase == empty && s.doubts[sl.name] == nil {
			s.doubts[sl.name] = &doubt{count: sl.count, fresh: true}
		}
		sl.unproven = false
		d := s.doubts[sl.name]
		switch {
		case d == nil:
		case d.count != sl.count, d.fresh && d.quiet.IsZero() && !d.until.IsZero() && now.After(d.until):
			delete(s.doubts, sl.name)
		default:
			sl.doubtful = true
		}
	}
}
