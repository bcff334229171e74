package lane

import (
	"fmt"
	"slices"
	"time"

	"tapkeeper/firmware-config/bundle"
	"tapkeeper/terminal"
)

// LimitsConfig are a store's own limits (terminal.md, Limits). What is absent is
// as the firmware-config folder says; that is signed for the fleet, so a store can
// only be stricter. 0 allows nothing.
type LimitsConfig struct {
	Payments    *int64 `toml:"payments"`     // offline payments without the wallet's receipt
	SumMinor    *int64 `toml:"sum_minor"`    // their sum
	DeviceMinor *int64 `toml:"device_minor"` // their sum for one phone
	AgeHours    *int64 `toml:"age_hours"`    // age of the oldest
	RefundMinor *int64 `toml:"refund_minor"` // what a cashier may give back of one payment; above it a manager must; default 50000
}

// BoundsConfig are bounds of waiting (terminal.md, "Unknown has one bound").
type BoundsConfig struct {
	QueriesS []int `toml:"queries_s"`  // when an unknown payment is asked for, after the deadline; default [1, 2, 5, 10, 30]
	TapS     int   `toml:"tap_s"`      // for a tap, when the till names no time; default 90
	NextTapS int   `toml:"next_tap_s"` // for the same phone again, when it may have paid; default 60
}

const (
	// maxQueries and maxQuery bound how long a till hears "unknown": beyond five
	// minutes nobody waits at a counter, and the reversal is safe at any time.
	maxQueries = 10
	maxQuery   = 300
	// minTap is the time to take a phone out; maxTap is what the till's API takes.
	minTap, maxTap = 5, 300
)

// validate fills in the defaults and names the first setting that is wrong.
func (b *BoundsConfig) validate() error {
	if b.QueriesS == nil {
		for _, after := range terminal.DefaultBounds().Queries {
			b.QueriesS = append(b.QueriesS, int(after/time.Second))
		}
	}
	b.TapS = orDefault(b.TapS, terminal.DefaultBounds().Tap)
	b.NextTapS = orDefault(b.NextTapS, terminal.DefaultBounds().NextTap)
	rising := slices.IsSorted(b.QueriesS) && len(slices.Compact(slices.Clone(b.QueriesS))) == len(b.QueriesS)
	if n := len(b.QueriesS); n == 0 || n > maxQueries || !rising || b.QueriesS[0] < 1 || b.QueriesS[n-1] > maxQuery {
		return &FieldError{"bounds.queries_s", fmt.Sprintf("1 to %d rising seconds from 1 to %d", maxQueries, maxQuery), fmt.Sprint(b.QueriesS)}
	}
	for _, s := range []struct {
		field string
		value int
	}{{"bounds.tap_s", b.TapS}, {"bounds.next_tap_s", b.NextTapS}} {
		if s.value < minTap || s.value > maxTap {
			return &FieldError{s.field, fmt.Sprintf("%d to %d", minTap, maxTap), fmt.Sprint(s.value)}
		}
	}
	return nil
}

func orDefault(value int, d time.Duration) int {
	if value == 0 {
		return int(d / time.Second)
	}
	return value
}

// bounds are those of the configuration.
func (c *Config) bounds(dayStart time.Time) terminal.Bounds {
	b := terminal.DefaultBounds()
	b.Answer = time.Duration(c.Wallet.AnswerMS) * time.Millisecond
	b.Tap, b.NextTap = time.Duration(c.Bounds.TapS)*time.Second, time.Duration(c.Bounds.NextTapS)*time.Second
	b.Queries = nil
	for _, after := range c.Bounds.QueriesS {
		b.Queries = append(b.Queries, time.Duration(after)*time.Second)
	}
	b.DayStart = time.Duration(dayStart.Hour())*time.Hour + time.Duration(dayStart.Minute())*time.Minute
	return b
}

// limits are the store's, within the fleet's.
func (c *Config) limits(fleet bundle.Limits) (terminal.Limits, error) {
	l := terminal.Limits{
		Payments: fleet.Payments, SumMinor: fleet.SumMinor, PerDevice: fleet.PerDevice, OldestAge: fleet.Age,
		Refund: terminal.DefaultLimits().Refund,
	}
	hours := int64(fleet.Age / time.Hour)
	for _, s := range []struct {
		field string
		own   *int64
		least int64
		limit *int64
	}{
		{"limits.payments", c.Limits.Payments, 0, &l.Payments}, {"limits.sum_minor", c.Limits.SumMinor, 0, &l.SumMinor},
		{"limits.device_minor", c.Limits.DeviceMinor, 0, &l.PerDevice}, {"limits.age_hours", c.Limits.AgeHours, 1, &hours},
	} {
		if s.own == nil {
			continue
		}
		if *s.own < s.least || *s.own > *s.limit {
			return l, &FieldError{s.field, fmt.Sprintf("%d to %d, which the firmware-config folder allows", s.least, *s.limit), fmt.Sprint(*s.own)}
		}
		*s.limit = *s.own
	}
	l.OldestAge = time.Duration(hours) * time.Hour
	if own := c.Limits.RefundMinor; own != nil {
		if *own < 0 || *own > maxRefund {
			return l, &FieldError{"limits.refund_minor", fmt.Sprintf("0 to %d", int64(maxRefund)), fmt.Sprint(*own)}
		}
		l.Refund = *own
	}
	return l, nil
}

// maxRefund is n12, the largest amount of a payment.
const maxRefund = 999_999_999_999
