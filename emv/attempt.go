package emv

import (
	"errors"
	"fmt"
	"io"
)

// Attempt is one sale at the terminal, over as many taps as it needs. It is
// not for concurrent use, and cannot be printed.
type Attempt struct{ in func() *attempt }

type attempt struct {
	terminal *Terminal
	sale     Sale
	lookups  Lookups
	flags    []aidFlags // parallel to terminal.AIDs
	tries    int        // TRY_AGAINs so far
	pending  *pending   // GENERATE AC was sent, its answer is not known
	lost     []Unanswered
	lastUN   [4]byte
}

// aidFlags are the results of Start A for one AID (scheme 3.2).
type aidFlags struct{ allowed, floor, cvm, relay bool }

// maxTries is the TRY_AGAIN that ends a sale (scheme 3.6).
const maxTries = 5

// Begin is Start A (scheme 3.2). When no AID is allowed it returns the outcome
// instead, and no field is to be switched on. The terminal has passed Validate.
func Begin(t *Terminal, s Sale, l Lookups) (*Attempt, *Outcome) {
	a := &attempt{terminal: t, sale: s, lookups: l, flags: make([]aidFlags, len(t.AIDs))}
	some := false
	for i := range t.AIDs {
		a.flags[i] = preprocess(&t.AIDs[i], s)
		some = some || a.flags[i].allowed
	}
	if !some {
		o := otherInterface(ReasonLimits)
		return nil, &o
	}
	return &Attempt{in: func() *attempt { return a }}, nil
}

func preprocess(aid *AID, s Sale) aidFlags {
	switch {
	case !aid.Enabled, s.Amount.over(aid.TxLimit), s.Currency != aid.Currency,
		s.Amount == 0 && !aid.ZeroAllowed, s.Amount < 0, s.Amount > maxAmount:
		return aidFlags{}
	case s.Kind == Refund: // scheme 3.2: a refund ignores the flags
		return aidFlags{allowed: true}
	}
	return aidFlags{
		allowed: true,
		floor:   s.Amount.over(aid.FloorLimit),
		cvm:     s.Amount.over(aid.CVMLimit),
		relay:   s.Amount.over(aid.RelayLimit),
	}
}

// Resume is Begin for a sale whose pending record was found in the store after
// a restart of the daemon: the same phone may still be asked for the answer
// (scheme 8.6). The TRY_AGAINs counted before the record was stored still count,
// and the interruption counts as one.
func Resume(t *Terminal, s Sale, l Lookups, p *Pending) (*Attempt, *Outcome, error) {
	d := p.in()
	if d.Transaction != s.ID {
		return nil, nil, errors.New("resume sale: the pending record belongs to another sale")
	}
	at, o := Begin(t, s, l)
	if o != nil {
		return nil, o, nil
	}
	a := at.in()
	a.pending = d
	a.tries = d.Tries + 1
	a.lost = append(a.lost, d.Lost...)
	a.lastUN = d.UN
	return at, nil, nil
}

// Activate begins one field activation (Start B and C, scheme 3.3, 3.4). The
// random values are read from random in the order of scheme 5.3; outside tests
// it is crypto/rand.Reader.
func (a *Attempt) Activate(m Moment, random io.Reader) *Activation {
	in := a.in()
	x := &activation{a: in, m: m, connected: m.Connected && !in.terminal.OfflineOnly, random: random}
	return &Activation{in: func() *activation { return x }}
}

// Pending reports whether the answer to a GENERATE AC is still missing, so
// that giving up now would leave the payment undetermined.
func (a *Attempt) Pending() bool { return a.in().pending != nil }

// GiveUp ends the attempt from outside: cancelled, no tap for 60 s, daemon
// restarted, or the store failed. With a pending record the outcome is
// Undetermined (scheme 8.6.6), otherwise End. It must not be called between a
// GENERATE AC that was sent and its answer (scheme 5.3).
func (a *Attempt) GiveUp(why Reason) Outcome {
	in := a.in()
	if in.pending != nil {
		return in.final(undetermined())
	}
	return in.final(ended(MsgError, why, "given up"))
}

// final completes an outcome that ends the attempt: what was never answered is
// abandoned (scheme 8.6.5).
func (a *attempt) final(o Outcome) Outcome {
	a.abandon()
	o.Abandoned = append([]Unanswered(nil), a.lost...)
	return o
}

// again completes a TRY_AGAIN, the fifth of which ends the sale (scheme 3.6).
func (a *attempt) again(o Outcome) Outcome {
	a.tries++
	if a.tries < maxTries {
		o.KeepPending = a.pending != nil
		return o
	}
	if a.pending != nil {
		return a.final(undetermined())
	}
	return a.final(ended(MsgOtherCard, ReasonTooEarly, fmt.Sprintf("try %d", a.tries)))
}

// abandon moves the pending record to the list of the unanswered.
func (a *attempt) abandon() {
	if a.pending == nil {
		return
	}
	a.lost = append(a.lost, a.pending.unanswered())
	a.resolve()
}

// resolve forgets the pending record; its key dies with it (scheme 8.6.1).
func (a *attempt) resolve() {
	if a.pending != nil {
		clear(a.pending.SKi)
	}
	a.pending = nil
}

// presentAgain is the TRY_AGAIN of an L1 error (scheme 5.3, 8.6.2, 8.6.6).
func (a *attempt) presentAgain(detail string) Outcome {
	why := ReasonTooEarly
	if a.pending != nil {
		why = ReasonUnknown
	}
	o := restart(MsgPresentAgain, why, presentAgainTime)
	o.Detail = detail
	return a.again(o)
}
