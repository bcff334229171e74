package emv

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"tapkeeper/emv/apdu"
)

// errdLimit is the wait for ERRD (scheme 5.9).
const errdLimit = 500 * time.Millisecond

// maxRelayTries is how often a slow phone is measured (scheme 5.7).
const maxRelayTries = 3

// relay is the state of the relay check.
type relay struct {
	tries int
	data  [14]byte // DF8B23: TRRE and the last answer
}

// errd draws a new TRRE and measures the phone once (scheme 5.7).
func (x *activation) errd() Step {
	app := x.app
	var trre [4]byte
	if _, err := io.ReadFull(x.random, trre[:]); err != nil {
		return x.broken(fmt.Errorf("draw relay entropy: %w", err))
	}
	app.relay.tries++
	e := &exchange{
		name: "EXCHANGE RELAY RESISTANCE DATA", command: apdu.ERRD(trre), limit: errdLimit, single: true,
		over: func() Step { return x.final(malformed("ERRD: answer too long")) },
	}
	e.done = func(sw apdu.SW, data []byte) Step {
		if sw != apdu.OK || len(data) != 12 || data[0] != 0x80 || data[1] != 0x0A {
			return x.final(malformed("ERRD: SW " + sw.String() + " or form"))
		}
		copy(app.relay.data[:4], trre[:])
		copy(app.relay.data[4:], data[2:])
		return x.measured(e.took)
	}
	return x.send(e)
}

// measured judges one measurement.
func (x *activation) measured(took time.Duration) Step {
	app := x.app
	m := x.a.terminal.Relay.measure(took, app.relay.data[8:])
	switch {
	case m.min > m.max:
		return x.final(malformed("ERRD: min above max"))
	case m.tooFast:
		return x.final(ended(MsgError, ReasonDistance, "ERRD: faster than the phone says it can be"))
	case m.over && app.relay.tries < maxRelayTries:
		return x.errd()
	}
	app.tvr.setIf(m.over, bitRelayLimits)
	app.tvr.setIf(m.threshold, bitRelayThreshold)
	app.tvr.set(bitRelayDone)
	app.tsi.set(tsiRelay)
	return x.readNext()
}

// measurement is the formula of scheme 5.7; all times in 100 µs.
type measurement struct {
	t, min, max, est         int
	tooFast, over, threshold bool
}

// measure takes the time of an ERRD exchange and min, max and est of its
// answer.
func (c Relay) measure(took time.Duration, times []byte) measurement {
	m := measurement{
		min: int(binary.BigEndian.Uint16(times)),
		max: int(binary.BigEndian.Uint16(times[2:])),
		est: int(binary.BigEndian.Uint16(times[4:])),
	}
	elapsed := int(max(0, took-c.Calibration).Microseconds()) / 100
	m.t = max(0, elapsed-c.Command-min(m.est, c.Answer))
	m.tooFast = m.t < max(0, m.min-c.MinGrace)
	m.over = m.t > m.max+c.MaxGrace
	mismatch := m.est != 0 && c.Answer != 0 &&
		(m.est*100/c.Answer < c.Mismatch || c.Answer*100/m.est < c.Mismatch)
	m.threshold = mismatch || max(0, m.t-m.min) > c.Accuracy
	return m
}
