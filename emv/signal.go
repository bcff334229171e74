package emv

import "time"

// Signal is what the customer sees and hears beside a message (scheme 3.6). It
// is data: the display's driver plays it, and a timed sequence always finishes.
type Signal struct {
	Lights []Light       // one after another
	Every  time.Duration // the lights begin again after this time; 0 is once
	Tone   []Tone        // one after another; nil is silence
}

// Light is a state of the four LEDs.
type Light struct {
	On  LEDs
	For time.Duration // 0 is until the next signal
}

// LEDs are the four LEDs, left to right from bit 1 up.
type LEDs byte

// LEDs of the patterns.
const (
	LED1 LEDs = 1 << iota
	LED2
	LED3
	LED4
	NoLED LEDs = 0
)

// Tone is a sound, or the silence between two.
type Tone struct {
	Hertz int // 0 is silence
	For   time.Duration
}

const ms = time.Millisecond

// Lights of scheme 3.6.
var (
	lightsIdle       = []Light{{LED1, 200 * ms}, {NoLED, 4800 * ms}}
	lightsReady      = []Light{{LED1, 0}}
	lightsProcessing = []Light{{LED1 | LED2, 0}}
	lightsSuccess    = []Light{ // the four come on over 250 ms, then stay
		{LED1, 63 * ms}, {LED1 | LED2, 62 * ms}, {LED1 | LED2 | LED3, 63 * ms}, {LED1 | LED2 | LED3 | LED4, 62 * ms},
		{LED1 | LED2 | LED3 | LED4, 750 * ms}, {NoLED, 0},
	}
	lightsError = []Light{{LED4, 750 * ms}, {NoLED, 0}}
	lightsDark  = []Light{{NoLED, 0}}
)

// Tones of scheme 3.6.
var (
	toneSuccess = []Tone{{1500, 500 * ms}}
	toneAlert   = []Tone{{750, 200 * ms}, {0, 200 * ms}, {750, 200 * ms}}
)

// SignalOf is the signal of a message with its status. The four lights and the
// tone of success belong to an approval alone: while the wallet is asked the
// reader goes on processing, and a decline looks and sounds like one, although
// the phone was read successfully.
func SignalOf(m Message, s Status) Signal {
	switch s {
	case StatusIdle:
		return Signal{Lights: lightsIdle, Every: 5 * time.Second}
	case StatusReady:
		return Signal{Lights: lightsReady}
	case StatusProcessing:
		return Signal{Lights: lightsProcessing}
	case StatusRead:
		switch m {
		case MsgApproved:
			return Signal{Lights: lightsSuccess, Tone: toneSuccess}
		case MsgDeclined:
			return Signal{Lights: lightsError, Tone: toneAlert}
		}
		return Signal{Lights: lightsProcessing}
	case StatusError:
		if m == MsgError || m == MsgOtherCard {
			return Signal{Lights: lightsError, Tone: toneAlert}
		}
		return Signal{Lights: lightsError}
	}
	return Signal{Lights: lightsDark}
}

// Signal goes with the outcome's message.
func (o *Outcome) Signal() Signal { return SignalOf(o.Message, o.Status) }

// RestartSignal goes with the message that waits for the next tap.
func (o *Outcome) RestartSignal() Signal { return SignalOf(o.Restart, o.RestartStatus) }
