package emv

import (
	"io"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
)

// Step is what the caller does next: exactly one of Send, Store and Outcome is
// set.
type Step struct {
	// Send is a command for the phone. Its answer goes to Answer; no answer, a
	// reader error or the limit running out goes to Lost.
	Send *Command

	// Store must be durable before Stored is called (scheme 8.6.1). It replaces
	// the sale's earlier pending record. When the commit finds an offline limit
	// reached, CapReached is called instead; when it fails, GiveUp.
	Store *Pending

	// Outcome ends the activation.
	Outcome *Outcome

	// Work, if set, is computation that may run while the phone answers. It must
	// have returned before the next call. Not running it changes nothing but the
	// time: the kernel then does it itself.
	Work func()
}

// Command is a command for the phone. It cannot be printed.
type Command struct {
	Name  string        // of scheme 5.1, for a trace
	Limit time.Duration // the longest wait for the answer (scheme 5.9)
	bytes func() []byte
}

// Bytes is the C-APDU. Not to be changed.
func (c *Command) Bytes() []byte { return c.bytes() }

// Activation is one field activation: a step machine that is fed the phone's
// answers. It is not for concurrent use, and cannot be printed. Calls out of
// turn repeat the step that is due.
type Activation struct{ in func() *activation }

type activation struct {
	a         *attempt
	m         Moment
	connected bool
	random    io.Reader
	ahead     *KeyPair

	started bool
	used    time.Duration // card time so far (scheme 5.9)
	sent    int
	wait    *exchange
	storing *pending
	work    []func()
	last    Step

	names selection
	app   *application
}

// KeyPair is a terminal key made before the tap, to save the time in it.
type KeyPair struct{ key channel.AgreeKey }

// NewKeyPair draws a key pair for one activation.
func NewKeyPair(random io.Reader) (*KeyPair, error) {
	k, err := channel.DrawAgreeKey(random)
	if err != nil {
		return nil, err
	}
	return &KeyPair{k}, nil
}

// UseKey gives the activation a key pair made ahead; it serves for the first
// GET PROCESSING OPTIONS, and counts as drawn there (scheme 5.3).
func (x *Activation) UseKey(k *KeyPair) { x.in().ahead = k }

// Start returns the first step.
func (x *Activation) Start() Step {
	in := x.in()
	if in.started {
		return in.last
	}
	in.started = true
	return in.give(in.ppse())
}

// Answer takes the phone's answer and the time from the last byte sent to the
// first byte received. One that is too short or too late counts as Lost.
func (x *Activation) Answer(rapdu []byte, took time.Duration) Step {
	in := x.in()
	if in.wait == nil {
		return in.last
	}
	return in.give(in.answer(rapdu, took))
}

// Lost tells that no answer came: an L1 error (scheme 0.1 rule 10).
func (x *Activation) Lost(took time.Duration) Step {
	in := x.in()
	if in.wait == nil {
		return in.last
	}
	in.wait = nil
	in.used += took
	return in.give(in.gone("no answer"))
}

// Stored tells that the pending record is durable.
func (x *Activation) Stored() Step {
	in := x.in()
	if in.storing == nil {
		return in.last
	}
	return in.give(in.generateAC())
}

// CapReached tells that the store found an offline limit reached, so that
// nothing was stored: the kernel decides again with B4b3 set.
func (x *Activation) CapReached() Step {
	in := x.in()
	if in.storing == nil {
		return in.last
	}
	in.storing = nil
	in.app.tvr.set(bitExposure)
	return in.give(in.ask())
}

// give attaches the work that may run meanwhile, and remembers the step.
func (x *activation) give(s Step) Step {
	if s.Send != nil && len(x.work) > 0 {
		work := x.work
		s.Work = func() {
			for _, w := range work {
				w()
			}
		}
	}
	x.work = nil
	x.last = s
	return s
}

func (x *activation) end(o Outcome) Step {
	x.wait, x.storing = nil, nil
	if x.app != nil {
		x.app.describe(&o)
	}
	x.app = nil // session keys die with the tap (scheme 9.2)
	return Step{Outcome: &o}
}

// final ends the sale, again asks for another tap.
func (x *activation) final(o Outcome) Step { return x.end(x.a.final(o)) }
func (x *activation) again(o Outcome) Step { return x.end(x.a.again(o)) }

// gone is an L1 error in any state; the pending record tells the states before
// and after GENERATE AC apart (scheme 5.3).
func (x *activation) gone(detail string) Step { return x.end(x.a.presentAgain(detail)) }

// Limits of one activation.
const (
	tapBudget    = 4000 * time.Millisecond // card time of a whole tap (scheme 5.9)
	maxExchanges = 256                     // a phone that answers in no time must still come to an end; an honest tap has 9
	maxAnswer    = 1024                    // data of a chained answer (scheme 5.1)
	maxGets      = 8                       // GET RESPONSEs of one command (scheme 5.1)
)

// exchange is one command of scheme 5.1 with everything that 61xx and 6Cxx make
// of it.
type exchange struct {
	name     string
	command  apdu.Command
	limit    time.Duration
	single   bool // no 61xx, no 6Cxx: ERRD
	sureSend bool // not cut short by the budget: GENERATE AC
	done     func(sw apdu.SW, data []byte) Step
	over     func() Step // the answer is too long, or in too many parts

	data     []byte
	gets     int
	repeated bool
	took     time.Duration // of the last answer
}

// send starts an exchange, unless the tap's time is used up (scheme 5.9).
func (x *activation) send(e *exchange) Step {
	if x.used > tapBudget && !e.sureSend {
		return x.gone("the tap's time is used up before " + e.name)
	}
	return x.transmit(e, e.name, e.command)
}

func (x *activation) transmit(e *exchange, name string, c apdu.Command) Step {
	if x.sent >= maxExchanges && !e.sureSend {
		return x.gone("too many commands before " + name)
	}
	x.sent++
	x.wait = e
	b := c.Bytes()
	return Step{Send: &Command{Name: name, Limit: e.limit, bytes: func() []byte { return b }}}
}

// answer follows 61xx and 6Cxx (scheme 5.1) and hands over the whole answer.
func (x *activation) answer(rapdu []byte, took time.Duration) Step {
	e := x.wait
	x.wait = nil
	x.used += took
	if took > e.limit {
		return x.gone(e.name + ": answer after the limit")
	}
	r, err := apdu.ParseResponse(rapdu)
	if err != nil {
		return x.gone(e.name + ": answer cut short")
	}
	e.took = took
	if n, wrong := r.SW.WrongLe(); wrong && !e.single && len(r.Data) == 0 && e.gets == 0 && !e.repeated {
		e.repeated = true
		e.command.Le = n
		return x.send(e)
	}
	e.data = append(e.data, r.Data...)
	if len(e.data) > maxAnswer {
		return e.over()
	}
	if n, more := r.SW.More(); more && !e.single {
		if e.gets == maxGets {
			return e.over()
		}
		e.gets++
		return x.transmit(e, "GET RESPONSE", apdu.GetResponse(n))
	}
	return e.done(r.SW, e.data)
}
