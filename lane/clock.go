package lane

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tapkeeper/queue"
)

const (
	// maxDrift is how far the clock and the wallet's may differ (terminal.md).
	maxDrift   = 60 * time.Second
	kindLane   = "lane"
	keyClock   = "clock"
	bootIDPath = "/proc/sys/kernel/random/boot_id"
)

// clock decides whether the time is trusted: the system reports NTP
// synchronisation, or the wallet's time was seen in this boot and agrees
// (terminal.md, Clock and day). What was seen outlives a restart of the daemon
// within one boot, measured against a counter that nobody can set.
type clock struct {
	store *queue.Store

	mu     sync.Mutex
	seen   sighting
	latest time.Time // of the last stored record
}

// sighting ties the wallet's time to this boot's counter.
type sighting struct {
	Boot    string        `json:"boot"`
	Wallet  time.Time     `json:"wallet"`
	Counter time.Duration `json:"counter"` // since boot, when it was seen
}

// openClock reads what was seen before a restart, and the moment of the last
// stored record.
func openClock(store *queue.Store) (*clock, error) {
	c := &clock{store: store}
	raw, ok, err := store.Get(kindLane, keyClock)
	if err != nil {
		return nil, err
	}
	if ok {
		// A sighting that does not decode is none.
		_ = json.Unmarshal(raw, &c.seen)
	}
	head := store.Head()
	if head.Seq == 0 {
		return c, nil
	}
	return c, store.Events(head.Seq, func(e queue.Event) error {
		var last struct{ At time.Time }
		_ = json.Unmarshal(e.Payload, &last) // an event without a moment says nothing
		c.stored(last.At)
		return nil
	})
}

// keep makes a sighting outlive the daemon.
func (c *clock) keep(ctx context.Context, s sighting) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	event, err := json.Marshal(map[string]any{"at": time.Now(), "why": "the wallet's time was seen"})
	if err != nil {
		return err
	}
	_, err = c.store.Commit(ctx, queue.Commit{
		Event: event, Records: []queue.Record{{Kind: kindLane, Key: keyClock, Value: value}},
	})
	return err
}

// sawWallet notes the wallet's time. It is kept for the next start when it is
// the first of this boot.
func (c *clock) sawWallet(at time.Time) (first sighting, isFirst bool) {
	counter, ok := sinceBoot()
	if !ok {
		return sighting{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	isFirst = c.seen.Boot != bootID()
	// A wallet gives a repeated message its first answer, with the time of then: it
	// is never later than now, so what was seen later counts.
	if !isFirst && at.Before(c.seen.Wallet.Add(counter-c.seen.Counter)) {
		return c.seen, false
	}
	c.seen = sighting{Boot: bootID(), Wallet: at, Counter: counter}
	return c.seen, isFirst
}

// Trusted answers terminal.Clock.
func (c *clock) Trusted(now time.Time) bool {
	trusted, _ := c.judge(now)
	return trusted
}

// judge says whether and why.
func (c *clock) judge(now time.Time) (bool, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.latest) {
		return false, "the clock is behind the last stored payment"
	}
	if synchronised() {
		return true, "the system is synchronised"
	}
	counter, ok := sinceBoot()
	if !ok || c.seen.Boot == "" || c.seen.Boot != bootID() {
		return false, "not synchronised, and the wallet's time was not seen since the machine started"
	}
	expected := c.seen.Wallet.Add(counter - c.seen.Counter)
	if drift := now.Sub(expected).Abs(); drift > maxDrift {
		return false, "the clock and the wallet's differ by " + drift.Round(time.Second).String()
	}
	return true, "agrees with the wallet's time"
}

// stored notes the moment of a stored record; the clock must not fall behind it.
func (c *clock) stored(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.After(c.latest) {
		c.latest = at
	}
}

// last is the moment of the last stored record.
func (c *clock) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// synchronised asks the kernel whether NTP keeps its clock.
func synchronised() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

// sinceBoot counts also while the machine sleeps, and cannot be set.
func sinceBoot() (time.Duration, bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

func bootID() string {
	raw, err := os.ReadFile(bootIDPath)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}
