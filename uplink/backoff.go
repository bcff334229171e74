package uplink

import "time"

// backoff doubles from first to max. Jitter is added by whoever waits.
type backoff struct {
	first, max time.Duration
	now        time.Duration
}

func (b *backoff) next() time.Duration {
	if b.now == 0 {
		b.now = b.first
	} else {
		b.now *= 2
	}
	b.now = min(b.now, b.max)
	return b.now
}

func (b *backoff) reset()   { b.now = 0 }
func (b *backoff) exhaust() { b.now = b.max }
