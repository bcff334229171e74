package pcsc

import (
	"sync"
	"time"

	"tapkeeper/reader"
)

// meter keeps the last times of each kind.
type meter struct{ first, connect, exchange, between times }

// keptTimes is some forty taps, and 8 KiB for a reader.
const keptTimes = 256

type times struct {
	mu   sync.Mutex
	kept [keptTimes]time.Duration
	n    int
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept[t.n%keptTimes] = max(0, d)
	t.n++
}

func (t *times) spread() reader.Spread {
	t.mu.Lock()
	kept := append([]time.Duration(nil), t.kept[:min(t.n, keptTimes)]...)
	t.mu.Unlock()
	return reader.SpreadOf(kept)
}

// Timing implements reader.Meter.
func (r *Reader) Timing() reader.Timing {
	return reader.Timing{
		First: r.meter.first.spread(), Connect: r.meter.connect.spread(),
		Exchange: r.meter.exchange.spread(), Between: r.meter.between.spread(),
	}
}
