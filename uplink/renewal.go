package uplink

import "time"

const (
	// calmTime without a question is a calm moment to renew the connection: a
	// renewal takes part of a second, in which a payment would find the link down.
	calmTime = 5 * time.Second
	// renewPatience bounds the wait for one in a shop that is never calm.
	renewPatience = 10 * time.Minute
	// renewCheck is how often a calm moment is looked for.
	renewCheck = 500 * time.Millisecond
)

// renewal watches the files of TLS while a connection lives.
type renewal struct {
	session *session
	ticker  *time.Ticker
	since   time.Time   // when the files were found changed; zero: they are not
	told    Certificate // what Changed was last told
}

func newRenewal(s *session) *renewal {
	return &renewal{session: s, ticker: time.NewTicker(s.link.cfg.Timing.Renew), told: s.link.identity.status()}
}

// due tells whether to renew the connection now.
func (r *renewal) due(now time.Time) bool {
	l := r.session.link
	changed := l.identity.changed(r.session.shown)
	if c := l.identity.status(); c != r.told {
		r.told = c
		l.change(func() {})
	}
	switch {
	case !changed:
		if !r.since.IsZero() { // the old files are back
			r.since = time.Time{}
			r.ticker.Reset(l.cfg.Timing.Renew)
		}
		return false
	case r.since.IsZero():
		r.since = now
		r.ticker.Reset(min(renewCheck, l.cfg.Timing.Renew))
	}
	return l.calm(now) || now.Sub(r.since) > renewPatience
}

// calm tells whether nobody waits for an answer, nor did a moment ago.
func (l *Link) calm(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asking == 0 && now.Sub(l.asked) > calmTime
}
