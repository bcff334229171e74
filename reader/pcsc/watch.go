package pcsc

import "time"

// run keeps a watch going until Close.
func (s *Service) run() {
	defer close(s.ended)
	pause := firstPause
	for !s.stopping() {
		l, err := s.system.establish()
		if err == nil {
			s.setLink(l)
			if s.watch(l) > 0 {
				pause = firstPause
			}
			s.setLink(nil)
			_ = l.release() // of a dead context; there is nothing to do about it
		}
		s.publish(view{forbidden: forbidden(err)})
		select {
		case <-s.stop:
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func (s *Service) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *Service) setLink(l link) {
	s.linkMu.Lock() // waits for a Cancel that runs: the context must not be released under it
	defer s.linkMu.Unlock()
	s.link = l
}

// watch publishes what it sees until the context is dead or Close is called, and returns how often it came round.
func (s *Service) watch(l link) (rounds int) {
	var seen []entry // with the events of the last round
	for ; !s.stopping(); rounds++ {
		names, err := readers(l) // each time: before pcsc-lite 2.3.0 a plug between two waits makes no event
		if err != nil {
			return rounds
		}
		entries, fresh := carry(names, seen)
		if !fresh {
			s.publish(viewOf(entries)) // a new reader is published when its state is known, which is at once
		}
		switch why(l.wait(entries, waitSlice)) {
		case none:
			s.publish(viewOf(entries))
			seen = entries
			if lost(entries) {
				s.doze()
			}
		case idle, cancelled:
			seen = entries
		case readerLost: // unplugged since the list
			seen = nil
			s.doze()
		default:
			return rounds
		}
	}
	return rounds
}

// doze keeps a reader that is listed but not known from making the watch spin.
func (s *Service) doze() {
	select {
	case <-s.stop:
	case <-time.After(firstPause):
	}
}

// carry makes the entries of the next wait: plug and play first, then each reader with what is known of it. A reader
// without knowledge is fresh, and ends the wait at once.
func carry(names []string, seen []entry) (entries []entry, fresh bool) {
	if len(names) > maxReaders {
		names = names[:maxReaders]
	}
	for _, name := range append([]string{plugAndPlay}, names...) {
		e := entry{reader: name}
		for _, old := range seen {
			if old.reader == name && old.event&flagUnknown == 0 {
				e.event, e.state, e.atr, e.last = old.event, old.event&^flagChanged, old.atr, old.last
				if old.event&flagPresent != 0 {
					e.last = old.event
				}
			}
		}
		e.first = e.state == 0 && name != plugAndPlay
		fresh = fresh || e.first
		entries = append(entries, e)
	}
	return entries, fresh
}

// lost: a reader was unplugged during the wait, or cannot be asked.
func lost(entries []entry) bool {
	for _, e := range entries[1:] {
		if e.event&flagUnknown != 0 {
			return true
		}
	}
	return false
}

func viewOf(entries []entry) view {
	v := view{up: true}
	for _, e := range entries[1:] {
		v.slots = append(v.slots, slotOf(e))
	}
	return v
}
