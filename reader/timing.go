package reader

import (
	"slices"
	"time"
)

// A Meter is a Reader that measures itself.
type Meter interface {
	Timing() Timing
}

// Timing is how quick a reader was in its last activations.
type Timing struct {
	// First is from the moment that the reader was told of a phone to the first command. How long the phone had been
	// there before nobody can tell from inside.
	First Spread `json:"first"`
	// Connect is the part of First that powering the phone takes.
	Connect Spread `json:"connect"`
	// Exchange is from a command to its answer.
	Exchange Spread `json:"exchange"`
	// Between is from an answer to the next command: our own time.
	Between Spread `json:"between"`
}

// Spread is the distribution of some times.
type Spread struct {
	Count int           `json:"count"`
	Min   time.Duration `json:"min_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
}

// SpreadOf is the distribution of times, which it may sort.
func SpreadOf(times []time.Duration) Spread {
	n := len(times)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[min(n*percent/100, n-1)] }
	return Spread{Count: n, Min: times[0], P50: at(50), P90: at(90), P99: at(99), Max: times[n-1]}
}
