package phone

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// own is the key of somebody whom no issuer knows.
func own(what string) (channel.SignKey, error) {
	d := sha256.Sum256([]byte("counterfeit " + what))
	d[0] &= 0x7F // below the order of the curve
	return channel.NewSignKey(d[:])
}

// ownScalar is the same for a card's key.
func ownScalar(what string) channel.Secret {
	d := sha256.Sum256([]byte("counterfeit " + what))
	d[0] &= 0x7F
	return channel.NewSecret(d[:])
}

// reprovision changes the first card. What it remembers stays, but for the
// chain, which begins with the grant.
func (a *Actor) reprovision(change func(*Profile) error) error {
	w := a.Wallet
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.cards[0].Profile
	p.Records = slices.Clone(p.Records)
	if err := change(&p); err != nil {
		return err
	}
	c, err := newCard(p, nil)
	if err != nil {
		return err
	}
	w.cards[0] = c
	if len(p.Grant) > 0 && w.state.Cards[0].Index == 0 {
		w.state.Cards[0].Chain = c.firstChain()
	}
	return nil
}

// profile is the prepare of a persona that changes its card with own keys only.
func profile(change func(*Profile) error) func(*Actor) error {
	return func(a *Actor) error { return a.reprovision(change) }
}

// unfit is the prepare of a persona whose card the issuer itself made unfit.
func unfit(change func(p *Profile, by channel.SignKey) error) func(*Actor) error {
	return func(a *Actor) error {
		if a.tools.Issuer == nil {
			return ErrNeedsIssuer
		}
		return a.reprovision(func(p *Profile) error { return change(p, *a.tools.Issuer) })
	}
}

// record finds the record that holds an object.
func (p *Profile) record(tag tlv.Tag) (*Record, error) {
	for i := range p.Records {
		nodes, err := tlv.ParseInside(p.Records[i].Content)
		if err == nil && slices.ContainsFunc(nodes, func(n tlv.Node) bool { return n.Tag == tag }) {
			return &p.Records[i], nil
		}
	}
	return nil, fmt.Errorf("the card has no record with %v", tag)
}

// put replaces the value of an object in its record.
func (p *Profile) put(tag tlv.Tag, value []byte) error {
	r, err := p.record(tag)
	if err != nil {
		return err
	}
	r.Content = becomes(tag, value...)(r.Content)
	return nil
}

// certified signs the device certificate anew, over the card as it is now.
func (p *Profile) certified(by channel.SignKey, change func(*cert.Device)) error {
	r, err := p.record(tag9F46)
	if err != nil {
		return err
	}
	old, err := tlv.ParseInside(r.Content)
	if err != nil {
		return err
	}
	d, err := cert.ParseDevice(old[0].Value)
	if err != nil {
		return err
	}
	if change != nil {
		change(&d)
	}
	c, err := newCard(*p, nil)
	if err != nil {
		return err
	}
	d.SDH = c.sdh
	signed, err := d.Sign(by)
	if err != nil {
		return err
	}
	r.Content = tlv.Append(nil, tag9F46, signed)
	return nil
}

// granted signs a changed grant.
func (p *Profile) granted(by channel.SignKey, change func(*cert.Grant)) error {
	g, err := cert.ParseGrant(p.Grant)
	if err != nil {
		return err
	}
	change(&g)
	signed, err := g.Sign(by)
	if err != nil {
		return err
	}
	return replaceGrant(p, signed)
}

// selfIssued is a card of an operator that no scheme knows, but for the names.
func selfIssued(p *Profile) error {
	ca, err1 := own("CA")
	operator, err2 := own("operator")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	r, err := p.record(tag90)
	if err != nil {
		return err
	}
	nodes, err := tlv.ParseInside(r.Content)
	if err != nil {
		return err
	}
	var issuer cert.Issuer
	for _, n := range nodes {
		if n.Tag == tag90 {
			if issuer, err = cert.ParseIssuer(n.Value); err != nil {
				return err
			}
		}
	}
	if issuer.Key, err = operator.Public().Compressed(); err != nil {
		return err
	}
	signed, err := issuer.Sign(ca)
	if err != nil {
		return err
	}
	if err := p.put(tag90, signed); err != nil {
		return err
	}
	if err := p.granted(operator, richer); err != nil {
		return err
	}
	return p.certified(operator, nil)
}

// richer multiplies what a grant allows.
func richer(g *cert.Grant) { g.Total[2] |= 0x01 }

// takesOver lets another phone answer from a tap on.
func takesOver(tap, other int) func(*Actor) {
	return func(a *Actor) {
		if a.tap >= tap {
			a.turn = a.tools.Others[other]
		}
	}
}

// unlocked makes the phone's software believe in an authentication.
func unlocked(a *Actor) { a.Unlock(a.now()) }

// rollsBack sets the memory of the card back to what it was at the first tap;
// keep may save something.
func rollsBack(keep func(before, now *CardState)) func(*Actor) {
	return func(a *Actor) {
		if a.tap == 1 {
			a.saved = a.State()
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		before := a.saved.clone()
		if keep != nil {
			keep(&before.Cards[0], &a.state.Cards[0])
		}
		a.state = before
	}
}

// sees alters what the phone is told in GPO and GENERATE AC: one element of
// both lists.
func sees(tag tlv.Tag, size int, change func(value []byte)) trick {
	return func(x *exchange, next func() []byte) []byte {
		if x.card == nil {
			return next()
		}
		switch x.step {
		case stepGPO:
			if data, ok := commandTemplate(x.command.Data); ok {
				if v := find(x.card.pdol, data, tag, size); v != nil {
					change(v)
				}
			}
		case stepGenerate:
			if v := find(x.card.cdol1, x.command.Data, tag, size); v != nil {
				change(v)
			}
		}
		return next()
	}
}

// shows computes the static data hash as a terminal does that is shown a
// changed card, so that the MACs come out right.
func shows(change func(*Profile)) func(*draft) {
	return func(d *draft) {
		p := d.x.card.Profile
		p.Records = slices.Clone(p.Records)
		change(&p)
		if c, err := newCard(p, nil); err == nil {
			d.sdh = c.sdh
		}
	}
}

// strips takes the last n bytes of the PDOL data away before the phone sees them.
func strips(n int) trick {
	return at(stepGPO, alterCommand(func(c *apdu.Command) {
		if data, ok := commandTemplate(c.Data); ok && len(data) >= n {
			c.Data = apdu.GPO(data[:len(data)-n]).Data
		}
	}))
}
