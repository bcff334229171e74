package phone

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv/channel"
)

// Persona is a phone, or somebody beside a phone, that does not keep to the
// scheme: it lies, is cloned, talks nonsense, is slow or leaves too early. It is
// data: what it does, which line of the scheme stops it, and what a terminal
// that keeps to the scheme must answer.
type Persona struct {
	Name     string   // lower case and hyphens
	Doc      string   // what it does
	Section  string   // of the scheme: where the attack or fault stands
	Attacks  []string // rows of scheme 11, first column, that it is an example of
	Check    string   // what stops it; empty when nothing has to
	Between  bool     // the liar stands between phone and terminal and has no key of the card
	Harmless bool     // a fault that the terminal bears: the sale may be approved
	Setting  Setting
	Terminal []Expect // what each tap of the last sale must come to
	Backend  *Verdict // of the last sale's evidence record, when one must result

	tricks  []trick            // the first stands nearest to the reader
	prepare func(*Actor) error // the card is not what the issuer made
	power   func(*Actor)       // at the start of each tap
}

// Setting is the sale at which a persona shows its nature. The zero Setting is
// a purchase of DefaultAmount, offline, with a locked phone, at one terminal.
type Setting struct {
	AmountMinor int64
	Refund      bool // the last sale is a refund of the first
	Connected   bool
	Unlocked    bool // the owner has authenticated for every tap
	OfflineOnly bool // a terminal that never asks the wallet
	Sales       int  // sales of the same amount, all but the last approved; 0 is 1
	Elsewhere   bool // the last sale is at a terminal that has not seen the phone
	Others      int  // further phones that Tools must bring
	CRLAgeDays  int
	Revoked     bool // the device's certificate stands on the revocation list
	Full        bool // the terminal's own offline limits are reached
}

// DefaultAmount is below every limit but the relay limit of the terminals of
// scheme 3.1.
const DefaultAmount = 500

// Expect is what a terminal must answer to one tap.
type Expect struct {
	Result  string  // scheme 3.6
	Reason  byte    // scheme 10
	TVR     [5]byte // bits that must be set (scheme 5.4)
	Record  byte    // kind of evidence record, 0 for none (scheme 9.3)
	Pending bool    // the payment may have been made, and the answer may still come (scheme 8.6)
}

// Verdict is what the issuer must say of a record (scheme 9.4).
type Verdict struct {
	Step   int  // that fails; 0 when the record is genuine
	Reason byte // scheme 10
}

// Tools are what a persona needs beside its own phone. The zero Tools serve
// every persona that needs no Issuer and no Others.
type Tools struct {
	Sleep  func(time.Duration) // nil is time.Sleep
	Issuer *channel.SignKey    // the operator's key, for cards that the issuer made unfit
	Others []*Wallet           // phones of other people, in the persona's hands
}

// Errors of Play.
var (
	ErrNeedsIssuer = errors.New("phone: the persona needs the issuer's key")
	ErrNeedsPhones = errors.New("phone: the persona needs other phones")
)

// Play lets a wallet act as the persona. The wallet belongs to the Actor from
// then on; its first card is the one that lies.
func (p Persona) Play(w *Wallet, t Tools) (*Actor, error) {
	if len(t.Others) < p.Setting.Others {
		return nil, fmt.Errorf("%w: %s: %d", ErrNeedsPhones, p.Name, p.Setting.Others)
	}
	a := &Actor{Wallet: w, persona: p, tools: t, turn: w, acted: p.prepare != nil}
	if a.tools.Sleep == nil {
		a.tools.Sleep = time.Sleep
	}
	if p.prepare != nil {
		if err := p.prepare(a); err != nil {
			return nil, fmt.Errorf("play %s: %w", p.Name, err)
		}
	}
	return a, nil
}

// Actor is a wallet in a persona. It is carried by a reader as a Wallet is; its
// methods PowerOn, PowerOff and Transmit are called one at a time.
type Actor struct {
	*Wallet
	persona Persona
	tools   Tools

	turn  *Wallet // the phone that answers: the own one, or one of Tools.Others
	tap   int     // activations so far
	count map[step]int
	gone  bool
	rest  []byte // what GET RESPONSE fetches
	asked bool   // a 6Cxx was given in this exchange
	tape  [][]taped
	saved State // what rollback goes back to
	acted bool  // some exchange was not the genuine phone's
}

// taped is one exchange as it was on the air.
type taped struct {
	step            step
	command, answer []byte
	keys            channel.Session // of the tap, for who has broken into the phone
}

// PowerOn starts a tap.
func (a *Actor) PowerOn() {
	a.tap++
	a.count, a.gone, a.rest, a.asked = map[step]int{}, false, nil, false
	a.tape = append(a.tape, nil)
	a.turn = a.Wallet
	if a.persona.power != nil {
		a.persona.power(a)
	}
	a.turn.PowerOn()
}

// PowerOff ends it.
func (a *Actor) PowerOff() { a.turn.PowerOff() }

// Transmit answers one C-APDU as the persona does; nil means that the phone
// leaves the field.
func (a *Actor) Transmit(command []byte) []byte {
	if a.gone {
		return nil
	}
	x := newExchange(a, command)
	answer := x.play(a.persona.tricks)
	a.acted = a.acted || x.slept || answer == nil || !bytes.Equal(answer, x.genuine) || !bytes.Equal(x.command.Bytes(), x.raw)
	tape := &a.tape[len(a.tape)-1]
	*tape = append(*tape, taped{x.step, x.raw, answer, x.keys})
	if answer == nil {
		a.gone = true
		a.turn.PowerOff()
	}
	return answer
}

// Idle says that the persona has tricks and that no exchange so far was any
// different from the genuine phone's: nothing was tested.
func (a *Actor) Idle() bool { return len(a.persona.tricks) > 0 && !a.acted }
