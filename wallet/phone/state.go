package phone

import (
	"slices"
	"time"
)

// Store takes the wallet's state and returns when it is durable. An error means
// that the state may not be there; the wallet then goes on from the old state
// and tells the terminal that nothing was committed.
type Store interface {
	Save(State) error
}

// State is everything a wallet remembers between taps. It holds no key.
type State struct {
	Preferred Hex         `json:"preferred,omitempty"` // ADF name of the user's default card
	Cards     []CardState `json:"cards"`
}

// CardState is what one card remembers.
type CardState struct {
	ADF     Hex      `json:"adf"`
	ATC     uint16   `json:"atc"`
	Index   uint16   `json:"index"`           // taps of this epoch
	Spent   int64    `json:"spent_minor"`     // in this epoch
	Chain   Hex      `json:"chain,omitempty"` // C_i of scheme 7.2; none without a grant
	Grant   Hex      `json:"grant,omitempty"` // replaces the grant of the profile
	Off     bool     `json:"off,omitempty"`   // switched off by the user
	Blocked bool     `json:"blocked,omitempty"`
	Answers []Answer `json:"answers,omitempty"`
	Taps    []Tap    `json:"taps,omitempty"`
}

// Answer is a GENERATE AC answer kept for RECOVER and against a second debit.
type Answer struct {
	Transaction Hex       `json:"transaction"`
	UN          Hex       `json:"un"`
	Terminal    Hex       `json:"terminal"`
	CID         byte      `json:"cid"`
	Body        Hex       `json:"body"` // the 77 object as it was sent
	At          time.Time `json:"at"`
}

// Tap is one debit of the offline allowance, for the phone's report (scheme 7.4).
type Tap struct {
	Transaction Hex    `json:"transaction"`
	Amount      int64  `json:"amount_minor"`
	ATC         uint16 `json:"atc"`
	Epoch       uint32 `json:"epoch"`
	Index       uint16 `json:"index"`
	Terminal    Hex    `json:"terminal"`
	Chain       Hex    `json:"chain"`
	Reported    bool   `json:"reported,omitempty"`
}

// clone copies what a tap may change. Byte strings are never written in place,
// so they are shared.
func (s State) clone() State {
	s.Cards = slices.Clone(s.Cards)
	for i := range s.Cards {
		s.Cards[i].Answers = slices.Clone(s.Cards[i].Answers)
		s.Cards[i].Taps = slices.Clone(s.Cards[i].Taps)
	}
	return s
}
