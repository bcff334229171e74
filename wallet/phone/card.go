package phone

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// card is a profile made ready to be tapped. It does not change; a new grant
// makes a new card.
type card struct {
	Profile
	pdol, cdol1 tlv.DOL
	sdh         [32]byte // SDH' of scheme 6.5, over what this card really sends
	sign        channel.SignKey
	dc          channel.AgreeKey
	mkac, kref  channel.Key
	grant       *cert.Grant // nil: none, or none that a phone can read
}

// newCard validates the profile and derives what every tap needs. A grant that
// is not empty replaces the profile's, in the record that carries it too.
func newCard(p Profile, grant []byte) (*card, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	p.Records = slices.Clone(p.Records)
	if len(grant) > 0 {
		if err := replaceGrant(&p, grant); err != nil {
			return nil, err
		}
	}
	c := &card{Profile: p}
	var err error
	if c.pdol, err = tlv.ParseDOL(p.PDOL); err != nil {
		return nil, fmt.Errorf("phone: PDOL: %w", err)
	}
	if c.cdol1, err = tlv.ParseDOL(p.CDOL1); err != nil {
		return nil, fmt.Errorf("phone: CDOL1: %w", err)
	}
	if err := c.keys(); err != nil {
		return nil, err
	}
	if g, err := cert.ParseGrant(p.Grant); err == nil && g.Numeric() {
		c.grant = &g
	}
	signed, err := c.signedRecords()
	if err != nil {
		return nil, err
	}
	c.sdh = cert.StaticDataHash(signed, tlv.Append(nil, tag82, p.AIP), tlv.Append(nil, tag84, p.ADF),
		tlv.Append(nil, tag9F38, p.PDOL), tlv.Append(nil, tag9F2C, p.Qualifier))
	return c, nil
}

func (c *card) keys() (err error) {
	if c.sign, err = channel.NewSignKey(c.SignKey.Bytes()); err != nil {
		return fmt.Errorf("phone: SignKey: %w", err)
	}
	if c.dc, err = channel.NewAgreeKey(c.AgreeKey.Bytes()); err != nil {
		return fmt.Errorf("phone: AgreeKey: %w", err)
	}
	if c.mkac, err = channel.NewKey(c.ACKey.Bytes()); err != nil {
		return fmt.Errorf("phone: ACKey: %w", err)
	}
	if c.kref, err = channel.NewKey(c.ReferenceKey.Bytes()); err != nil {
		return fmt.Errorf("phone: ReferenceKey: %w", err)
	}
	return nil
}

// signedRecords joins the contents of the records that the AFL marks as signed,
// in AFL order (scheme 2.4, 4.3).
func (c *card) signedRecords() ([]byte, error) {
	if len(c.AFL)%4 != 0 {
		return nil, errors.New("phone: AFL: want a multiple of 4 bytes")
	}
	var joined []byte
	for entry := range slices.Chunk(c.AFL, 4) {
		for i := range int(entry[3]) {
			r, ok := c.record(entry[0]>>3, entry[1]+byte(i))
			if !ok {
				return nil, fmt.Errorf("phone: AFL: signed record %d of SFI %d is missing", int(entry[1])+i, entry[0]>>3)
			}
			joined = append(joined, r.Content...)
		}
	}
	return joined, nil
}

func (c *card) record(sfi, number byte) (Record, bool) {
	i := slices.IndexFunc(c.Records, func(r Record) bool { return r.SFI == sfi && r.Number == number })
	if i < 0 {
		return Record{}, false
	}
	return c.Records[i], true
}

// unused is the state of a card that was never tapped.
func (c *card) unused() CardState {
	s := CardState{ADF: bytes.Clone(c.ADF)}
	if len(c.Grant) > 0 {
		s.Chain = c.firstChain()
	}
	return s
}

// fits refuses a state with which the card would answer nonsense or panic.
func (c *card) fits(s CardState) error {
	switch {
	case s.Spent < 0 || s.Spent > maxAmount:
		return errors.New("phone: spent out of range")
	case len(c.Grant) > 0 && len(s.Chain) != len(channel.Chain{}):
		return errors.New("phone: chain missing or of a wrong length")
	case len(s.Answers) > maxAnswers:
		return fmt.Errorf("phone: %d kept answers, want at most %d", len(s.Answers), maxAnswers)
	}
	return nil
}

const maxAmount = 999_999_999_999 // n12

func (c *card) firstChain() Hex {
	first := channel.FirstChain(c.Grant)
	return first[:]
}

// allowance is DF8B10 for the state after a TC (scheme 7.2).
func (c *card) allowance(s CardState) []byte {
	total, _ := tlv.Number(c.grant.Total[:]) // newCard kept a numeric grant only
	a := cert.State{Epoch: c.grant.Epoch, Index: s.Index, Chain: channel.Chain(s.Chain)}
	copy(a.Spent[:], tlv.BCD(uint64(s.Spent), 6))
	copy(a.Remaining[:], tlv.BCD(total-uint64(s.Spent), 6))
	return a.Encode()
}
