package lane

import (
	"context"
	"time"

	"tapkeeper/emv"
	"tapkeeper/reader"
	"tapkeeper/terminal"
)

// outcomeShown is how long the light of an outcome stays before the reader is idle again.
const outcomeShown = 3 * time.Second

// lights shows on the reader what becomes of the payment that had the field last. It reads the journal, so that
// nothing is shown before it is durable (I4), and it is beside the tap: it costs a payment no time.
func (l *Lane) lights(ctx context.Context) error {
	signaller, ok := l.reader.(reader.Signaller)
	if !ok {
		return nil
	}
	var current terminal.ID
	var have bool
	shown, warned := reader.Cue(-1), false
	for ctx.Err() == nil {
		changed := l.terminal.Changed()
		if id, attended := l.terminal.Attended(); attended {
			current, have = id, true
		}
		cue, wait := reader.CueIdle, time.Duration(0)
		if have {
			if p, err := l.terminal.Payment(current); err == nil {
				cue = cueOf(signalOf(&p))
				if p.State.Ended() {
					wait = outcomeShown
				}
			}
		}
		if !warned {
			warned = l.warnOfFirmware()
		}
		if cue != shown {
			signaller.Signal(cue)
			shown = cue
		}
		if !waitFor(ctx, changed, wait) {
			have = false // the outcome was shown long enough
		}
	}
	return nil
}

// warnOfFirmware says once what is known against the firmware of the reader that is there, and whether it was said.
func (l *Lane) warnOfFirmware() bool {
	told, ok := l.reader.(interface {
		Firmware() (string, *reader.BadFirmware)
	})
	if !ok {
		return true
	}
	version, bad := told.Firmware()
	if bad != nil {
		l.log.Warn().Str("reader", l.reader.Name()).Str("firmware", version).Str("trouble", bad.Why).Str("source", bad.Source).Msg("the reader's firmware is known to be bad")
	}
	return bad != nil
}

// waitFor returns false when d has passed first; 0 is for ever.
func waitFor(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-changed:
	case <-ctx.Done():
	case <-over:
		return false
	}
	return true
}

// signalOf is the signal of scheme 3.6 for what a payment is now.
func signalOf(p *terminal.Payment) emv.Signal {
	switch p.State {
	case terminal.Approved, terminal.Stored:
		return emv.SignalOf(emv.MsgApproved, emv.StatusRead)
	case terminal.Declined:
		return emv.SignalOf(emv.MsgDeclined, emv.StatusRead)
	case terminal.Failed:
		return emv.SignalOf(emv.MsgError, emv.StatusError)
	case terminal.Reading:
		return emv.SignalOf(emv.MsgProcessing, emv.StatusProcessing)
	case terminal.Authorising, terminal.Unknown:
		return emv.SignalOf(emv.MsgAuthorising, emv.StatusRead)
	case terminal.Created, terminal.AwaitingTap:
		switch p.Hint {
		case terminal.HintHoldStill:
			return emv.SignalOf(emv.MsgProcessing, emv.StatusProcessing)
		case terminal.HintTryAgain, terminal.HintMovedEarly:
			return emv.SignalOf(emv.MsgPresentAgain, emv.StatusError)
		}
		return emv.SignalOf(emv.MsgPresent, emv.StatusReady)
	}
	return emv.SignalOf(emv.MsgWelcome, emv.StatusIdle)
}

// cueOf is what a reader with a light or two and one tone makes of the scheme's four lights and two tones.
func cueOf(s emv.Signal) reader.Cue {
	switch {
	case len(s.Tone) == 1:
		return reader.CueSuccess
	case len(s.Tone) > 1:
		return reader.CueAlert
	case s.Every > 0 || len(s.Lights) == 0:
		return reader.CueIdle
	}
	switch s.Lights[0].On {
	case emv.LED4:
		return reader.CueError
	case emv.LED1 | emv.LED2:
		return reader.CueProcessing
	case emv.LED1:
		return reader.CueReady
	}
	return reader.CueIdle
}
