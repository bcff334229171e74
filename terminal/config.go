package terminal

import (
	"fmt"
	"time"

	"tapkeeper/emv"
)

// Limits bound what is accepted without the wallet's receipt. They are checked
// in the commit that stores the pending record, before the phone can spend.
type Limits struct {
	Payments  int64         // count of unsent offline payments
	SumMinor  int64         // their sum
	PerDevice int64         // sum of one device
	OldestAge time.Duration // age of the oldest; above it nothing is accepted offline
	Refund    int64         // what a cashier may give back of one payment; above it a manager must
}

// Bounds of waiting. Each is a setting because wallets and shops differ; the
// defaults are those of terminal.md.
type Bounds struct {
	Answer   time.Duration   // for the wallet's answer; then the till hears unknown
	Queries  []time.Duration // after the deadline; after the last one a reversal
	Tap      time.Duration   // for a tap, when the till names none
	NextTap  time.Duration   // for a second tap when the phone may have paid (scheme 8.6.6)
	DayStart time.Duration   // local time at which a business day begins
}

const (
	// maxTapWait bounds a till's own wish: a payment that waits longer blocks
	// the reader for everybody.
	maxTapWait = 5 * time.Minute
	// maxOrderRef is what common tills use (product.md: 32 characters).
	maxOrderRef = 32
	// maxKey is the length that RFC drafts and peers allow for an idempotency key.
	maxKey = 255
	// maxAttempts of one order: a till that loops must not fill the disk.
	maxAttempts = 100
)

// DefaultLimits are those of terminal.md: 1,000 payments, 20,000 yuan, 500 yuan
// a device, 72 hours; a cashier gives back what one device may owe.
func DefaultLimits() Limits {
	return Limits{Payments: 1000, SumMinor: 20_000_00, PerDevice: 500_00, OldestAge: 72 * time.Hour, Refund: 500_00}
}

// DefaultBounds are those of terminal.md and scheme 8.6.6.
func DefaultBounds() Bounds {
	return Bounds{
		Answer: 3 * time.Second,
		Queries: []time.Duration{
			time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		},
		Tap:      90 * time.Second,
		NextTap:  60 * time.Second,
		DayStart: 4 * time.Hour,
	}
}

// Config is what does not change while the terminal runs.
type Config struct {
	Kernel *emv.Terminal
	Zone   *time.Location // of the store: dates of the scheme are local
	Limits Limits
	Bounds Bounds
}

// Validate names the field that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Kernel == nil:
		return fmt.Errorf("kernel: missing")
	case c.Zone == nil:
		return fmt.Errorf("zone: missing")
	case c.Limits.Payments < 0 || c.Limits.SumMinor < 0 || c.Limits.PerDevice < 0 || c.Limits.Refund < 0:
		return fmt.Errorf("limits: negative")
	case c.Bounds.Answer <= 0 || c.Bounds.Tap <= 0 || c.Bounds.NextTap <= 0:
		return fmt.Errorf("bounds: answer, tap and next_tap must be above zero")
	case c.Bounds.Tap > maxTapWait:
		return fmt.Errorf("bounds: tap is %s, at most %s", c.Bounds.Tap, maxTapWait)
	case c.Bounds.DayStart < 0 || c.Bounds.DayStart >= 24*time.Hour:
		return fmt.Errorf("bounds: day_start is %s, want 0 to 24 h", c.Bounds.DayStart)
	}
	return c.Kernel.Validate()
}

// businessDay is the day that a moment of acceptance belongs to (terminal.md,
// Clock and day): a shop that closes after midnight closes the day before.
func (c *Config) businessDay(at time.Time) string {
	local := at.In(c.Zone)
	y, m, d := local.Date()
	// By the clock on the wall: where it changes in the night, hours are not a day's part.
	if h, minute, s := local.Clock(); time.Duration(h)*time.Hour+time.Duration(minute)*time.Minute+time.Duration(s)*time.Second < c.Bounds.DayStart {
		d--
	}
	return time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Format(time.DateOnly)
}
