package phone

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tapkeeper/emv/apdu"
)

// freshness is how long an unlock lasts (scheme 8.1).
const freshness = 30 * time.Second

// Errors that the owner of a wallet acts on.
var (
	ErrNoCard     = errors.New("phone: no card of that ADF name")
	ErrUnreported = errors.New("phone: the tap log was not reported") // report first, then renew the grant
)

// Options are what a wallet needs from outside.
type Options struct {
	Store      Store            // required
	Random     io.Reader        // nil means crypto/rand; 32 bytes per GPO, 4 per ERRD
	Now        func() time.Time // nil means time.Now; the phone's own clock
	NotDefault bool             // another app is the phone's payment app: no PPSE
}

// Wallet is a phone with its cards. It is safe for concurrent use: the reader's
// side and the user's side need not know each other.
type Wallet struct {
	mu       sync.Mutex
	store    Store
	random   io.Reader
	now      func() time.Time
	ppse     bool
	cards    []*card
	state    State // Cards in the order of cards
	unlocked time.Time
	tap      activation
}

// activation is what dies with the field.
type activation struct {
	selected int // index of the card, -1 is none
	session  *session
	answered bool // GENERATE AC was answered since SELECT
}

// New makes a wallet of cards and what they remember. A card that the state
// does not know starts unused; the state of a card that is not there is refused,
// because the next Save would forget it.
func New(cards []Profile, state State, o Options) (*Wallet, error) {
	if o.Store == nil {
		return nil, errors.New("phone: Options.Store: required")
	}
	if len(cards) > maxCards {
		return nil, fmt.Errorf("phone: %d cards, want at most %d", len(cards), maxCards)
	}
	w := &Wallet{store: o.Store, random: o.Random, now: o.Now, ppse: !o.NotDefault}
	if w.random == nil {
		w.random = rand.Reader
	}
	if w.now == nil {
		w.now = time.Now
	}
	known := state.clone()
	w.state.Preferred = known.Preferred
	for _, p := range cards {
		if w.find(p.ADF) >= 0 {
			return nil, fmt.Errorf("phone: two cards with the ADF name %X", []byte(p.ADF))
		}
		s, had := takeState(&known, p.ADF)
		c, err := newCard(p, s.Grant)
		if err != nil {
			return nil, fmt.Errorf("card %X: %w", []byte(p.ADF), err)
		}
		if !had {
			s = c.unused()
		}
		if err := c.fits(s); err != nil {
			return nil, fmt.Errorf("state of card %X: %w", []byte(p.ADF), err)
		}
		w.cards = append(w.cards, c)
		w.state.Cards = append(w.state.Cards, s)
	}
	if len(known.Cards) > 0 {
		return nil, fmt.Errorf("phone: state of a card that is not here: %X", []byte(known.Cards[0].ADF))
	}
	w.tap = activation{selected: -1}
	return w, nil
}

func takeState(s *State, adf Hex) (CardState, bool) {
	for i, c := range s.Cards {
		if bytes.Equal(c.ADF, adf) {
			s.Cards = append(s.Cards[:i], s.Cards[i+1:]...)
			return c, true
		}
	}
	return CardState{}, false
}

func (w *Wallet) find(adf []byte) int {
	for i, c := range w.cards {
		if bytes.Equal(c.ADF, adf) {
			return i
		}
	}
	return -1
}

// State returns a copy of what the wallet remembers.
func (w *Wallet) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.clone()
}

// Unlock records that the user authenticated at now. It is not kept over a
// restart.
func (w *Wallet) Unlock(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlocked = now
}

// verified says whether the user's authentication is fresh (scheme 8.1). An
// unlock in the future, after a clock that jumped back, is not.
func (w *Wallet) verified() bool {
	if w.unlocked.IsZero() {
		return false
	}
	age := w.now().Sub(w.unlocked)
	return age >= 0 && age <= freshness
}

// PowerOn starts a field activation: nothing is selected.
func (w *Wallet) PowerOn() { w.reset() }

// PowerOff ends it; session keys are dropped.
func (w *Wallet) PowerOff() { w.reset() }

func (w *Wallet) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tap = activation{selected: -1}
}

// Transmit answers one C-APDU.
func (w *Wallet) Transmit(command []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	data, sw := w.answer(command)
	if sw != apdu.OK {
		data = nil
	}
	return append(data[:len(data):len(data)], byte(sw>>8), byte(sw))
}

// commit makes next durable and only then the wallet's own.
func (w *Wallet) commit(next State) error {
	if err := w.store.Save(next.clone()); err != nil {
		return fmt.Errorf("save the wallet's state: %w", err)
	}
	w.state = next
	return nil
}
