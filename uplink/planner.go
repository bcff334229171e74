package uplink

import (
	"time"

	"tapkeeper/uplink/wire"
)

const (
	// window is how many entries may be in flight: enough for the round trip of
	// a mobile network, far below the 65535 that the library would take. It is
	// filled again when half of it is free, so that messages share publications.
	window = 64
	// lookAhead is how many entries are read at a time, maxReach the most: it
	// doubles while those read leave the window empty, so that neither a long
	// group nor unanswered entries hide the ones behind them.
	lookAhead = 2 * window
	maxReach  = 1 << 16
	// slotCheck is how often a full window looks for a free slot.
	slotCheck = time.Second
)

// planner decides which entries to send now. It does no I/O and reads no clock.
type planner struct {
	timing  Timing
	jitter  func(time.Duration) time.Duration
	session uint64
	hurries uint64
	reach   int // how many entries to read
	flights map[wire.ID]*flight
}

// flight is an entry that was sent and has not left the outbox.
type flight struct {
	sent  time.Time
	next  time.Time // when to send it again
	delay backoff
}

func newPlanner(t Timing, jitter func(time.Duration) time.Duration) *planner {
	return &planner{timing: t, jitter: jitter, reach: lookAhead, flights: map[wire.ID]*flight{}}
}

// keep drops the flights that have left the outbox.
func (p *planner) keep(waiting []Entry) {
	there := make(map[wire.ID]bool, len(waiting))
	for _, e := range waiting {
		there[e.ID] = true
	}
	for id := range p.flights {
		if !there[id] {
			delete(p.flights, id)
		}
	}
}

// hurry makes every flight due when SyncNow was called since the last time.
func (p *planner) hurry(calls uint64) {
	if calls == p.hurries {
		return
	}
	p.hurries = calls
	p.again(time.Time{})
}

// again makes every flight due at the given time, as if nothing had been sent.
func (p *planner) again(at time.Time) {
	for _, f := range p.flights {
		f.sent, f.next = time.Time{}, at
		f.delay.reset()
	}
}

// plan gives the entries to send now on the given session, in order, and how long
// to wait if nothing else happens. heard is when the wallet last answered anything.
func (p *planner) plan(now time.Time, waiting []Entry, session uint64, heard time.Time) (due []Entry, wake time.Duration) {
	if session != p.session {
		// Whatever was under way on the old connection may be lost.
		p.session = session
		p.again(now)
	}
	held := 0
	for _, f := range p.flights {
		if p.holds(f, now, heard) {
			held++
		}
	}
	wake = time.Hour
	narrow := held > window/2 // wait for more room: with little to send there is some
	withheld := false
	groups := map[string]bool{}
	for _, e := range waiting {
		if groups[e.Group] {
			continue // I6: the one before must have left the outbox
		}
		groups[e.Group] = true
		f := p.flights[e.ID]
		if f != nil && now.Before(f.next) {
			wake = min(wake, f.next.Sub(now))
			continue
		}
		if f == nil || !p.holds(f, now, heard) {
			if held >= window || narrow && len(waiting) > window {
				wake, withheld = min(wake, slotCheck), true
				continue
			}
			held++
		}
		p.send(e.ID, now)
		due = append(due, e)
	}
	return due, p.look(len(waiting), withheld, wake)
}

// look decides how far to read next time. The reach never shrinks below a flight:
// one out of sight would seem to have left.
func (p *planner) look(read int, withheld bool, wake time.Duration) time.Duration {
	switch {
	case read < lookAhead:
		p.reach = lookAhead
	case read >= p.reach && !withheld && p.reach < maxReach:
		p.reach *= 2
		return 0
	}
	return wake
}

// holds tells whether a flight takes a place in the window. One that the wallet
// leaves unanswered, while it answers others, gives its place up between its
// repetitions: it blocks nobody (I6). A silent wallet is only probed.
func (p *planner) holds(f *flight, now, heard time.Time) bool {
	if f.sent.IsZero() {
		return false
	}
	return now.Sub(f.sent) < p.timing.ResendFirst || !heard.After(f.sent)
}

func (p *planner) send(id wire.ID, now time.Time) {
	f := p.flights[id]
	if f == nil {
		f = &flight{delay: backoff{first: p.timing.ResendFirst, max: p.timing.ResendMax}}
		p.flights[id] = f
	}
	f.sent = now
	f.next = now.Add(p.jitter(f.delay.next()))
}
