package phone

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
)

// Taps returns the card's tap log, oldest first.
func (w *Wallet) Taps(adf []byte) ([]Tap, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.find(adf)
	if i < 0 {
		return nil, ErrNoCard
	}
	return slices.Clone(w.state.Cards[i].Taps), nil
}

// Reported records that the issuer has the tap log up to and including atc.
func (w *Wallet) Reported(adf []byte, atc uint16) error {
	return w.change(adf, func(_ *card, s *CardState) error {
		for i := range s.Taps {
			if s.Taps[i].ATC <= atc {
				s.Taps[i].Reported = true
			}
		}
		return nil
	})
}

// Renew replaces the card's grant (scheme 7.4). Index and spent start again and
// the tap log of the old epoch is dropped, so every tap must have been reported:
// ErrUnreported otherwise. The card checks that the grant is for it, newer, and
// signed by the issuer whose certificate it shows.
func (w *Wallet) Renew(adf, grant []byte) error {
	return w.change(adf, func(c *card, s *CardState) error {
		if slices.ContainsFunc(s.Taps, func(t Tap) bool { return !t.Reported }) {
			return ErrUnreported
		}
		renewed, err := newCard(c.Profile, grant)
		if err != nil {
			return err
		}
		if err := renewed.acceptsGrant(c, s.ATC); err != nil {
			return fmt.Errorf("renew the grant: %w", err)
		}
		*c = *renewed
		s.Grant = bytes.Clone(grant)
		s.Index, s.Spent, s.Taps = 0, 0, nil
		s.Chain = renewed.firstChain()
		return nil
	})
}

// Prefer makes a card the user's default.
func (w *Wallet) Prefer(adf []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.find(adf) < 0 {
		return ErrNoCard
	}
	next := w.state.clone()
	next.Preferred = bytes.Clone(adf)
	return w.commit(next)
}

// Switch turns a card on or off for taps.
func (w *Wallet) Switch(adf []byte, on bool) error {
	return w.change(adf, func(_ *card, s *CardState) error { s.Off = !on; return nil })
}

// Block marks the card's account as restricted, or free again.
func (w *Wallet) Block(adf []byte, blocked bool) error {
	return w.change(adf, func(_ *card, s *CardState) error { s.Blocked = blocked; return nil })
}

// change commits one card's new state; with an error nothing has changed.
func (w *Wallet) change(adf []byte, edit func(*card, *CardState) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.find(adf)
	if i < 0 {
		return ErrNoCard
	}
	next, edited := w.state.clone(), *w.cards[i]
	if err := edit(&edited, &next.Cards[i]); err != nil {
		return err
	}
	if err := w.commit(next); err != nil {
		return err
	}
	w.cards[i] = &edited
	w.tap = activation{selected: -1} // a tap under way must not mix old and new
	return nil
}

// replaceGrant puts another grant into the profile and into the record that
// carries it. A card without such a record cannot take one: its AFL, and so its
// device certificate, would change.
func replaceGrant(p *Profile, grant []byte) error {
	for i, r := range p.Records {
		nodes, err := tlv.ParseInside(r.Content)
		if err != nil || len(nodes) != 1 || nodes[0].Tag != tagDF8B11 {
			continue
		}
		p.Records[i].Content = tlv.Append(nil, tagDF8B11, grant)
		p.Grant = bytes.Clone(grant)
		return p.Validate()
	}
	return errors.New("phone: the card has no grant record")
}

// acceptsGrant judges the grant in c, which replaces that of before.
func (c *card) acceptsGrant(before *card, atc uint16) error {
	g := c.grant
	if g == nil {
		return errors.New("phone: not a readable grant")
	}
	issuer, err := c.issuer()
	if err != nil {
		return err
	}
	key, err := issuer.VerifyKey()
	switch {
	case err != nil:
		return fmt.Errorf("read the issuer's key: %w", err)
	case !g.Belongs(issuer.Serial, [8]byte(c.DeviceID)):
		return errors.New("phone: the grant is for another device or of another issuer")
	case !g.SignedBy(key):
		return errors.New("phone: the grant's signature is wrong")
	case before.grant != nil && g.Epoch <= before.grant.Epoch:
		return errors.New("phone: the grant's epoch does not rise")
	case g.ATCBase > atc:
		// Scheme 7.3 rule 5 would refuse every tap of such an epoch.
		return errors.New("phone: the grant's ATC base is ahead of the card")
	}
	return nil
}

// issuer reads the issuer certificate that the card shows.
func (c *card) issuer() (cert.Issuer, error) {
	for _, r := range c.Records {
		nodes, err := tlv.ParseInside(r.Content)
		if err != nil {
			continue
		}
		for _, n := range nodes {
			if n.Tag == tag90 {
				return cert.ParseIssuer(n.Value)
			}
		}
	}
	return cert.Issuer{}, errors.New("phone: the card shows no issuer certificate")
}
