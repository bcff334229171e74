package uplink

import "time"

// presence is the one bit `connected` of terminal.md and what it is made of.
// "Heard" means a verified answer to something that this link sent: a replayed
// old message does not count.
type presence struct {
	within      time.Duration
	up          bool
	heardAt     time.Time // zero: never
	deadlineOff bool      // a deadline was missed and the wallet not heard since
}

func (p *presence) heard(now time.Time) { p.heardAt, p.deadlineOff = now, false }

func (p *presence) missed() { p.deadlineOff = true }

func (p *presence) connected(now time.Time) bool {
	return p.up && !p.deadlineOff && !p.heardAt.IsZero() && now.Sub(p.heardAt) <= p.within
}
