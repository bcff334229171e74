package phone

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// draft is an answer to GENERATE AC that a broken phone makes anew: with the
// card's keys every MAC and signature comes out right, whatever it says.
type draft struct {
	x        *exchange
	objects  []tlv.Node // R0's, in their order
	pdolData []byte
	ski      channel.Key
	sign     channel.SignKey
	sdh      [32]byte
	badAC    bool // what is wrong on purpose after all
}

// forges lets the phone answer and makes its answer anew after the edits.
func forges(edits ...func(*draft)) trick {
	return func(x *exchange, next func() []byte) []byte {
		r, err := apdu.ParseResponse(next())
		if err != nil || r.SW != apdu.OK || x.session == nil {
			return r.Bytes()
		}
		root, err := tlv.ParseOne(r.Data)
		if err != nil {
			return r.Bytes()
		}
		d := &draft{x: x, ski: x.keys.SKi, sign: x.card.sign, sdh: x.card.sdh, pdolData: x.session.pdolData}
		for _, n := range root.Kids {
			if n.Tag != tag9F26 && n.Tag != tag9F8105 && n.Tag != tag9F4B {
				d.objects = append(d.objects, n)
			}
		}
		for _, edit := range edits {
			edit(d)
		}
		body, err := d.seal()
		if err != nil {
			return apdu.Response{SW: swInternal}.Bytes()
		}
		return apdu.Response{Data: body, SW: apdu.OK}.Bytes()
	}
}

// seal closes the answer in the order of scheme 6.7.
func (d *draft) seal() ([]byte, error) {
	cdol1, c := d.x.command.Data, d.x.card
	mac := channel.IADMAC(d.ski, d.pdolData, cdol1, channel.R0Zeroed(d.objects), d.sdh)
	d.edit(tag9F10, func(v []byte) []byte { copy(v[iadMACOffset:], mac[:]); return v })
	r0 := channel.R0(d.objects)
	ac := channel.AC(channel.SKac(c.mkac, d.atc()), cdol1, [2]byte(c.AIP), r0)
	if d.badAC {
		ac[0] ^= 1
	}
	eda := channel.EDAMAC(d.ski, ac, mac)
	r1 := tlv.Append(r0, tag9F26, ac[:])
	r1 = tlv.Append(r1, tag9F8105, eda[:])
	evidence, err := channel.SignEvidence(d.sign, d.sdh, d.pdolData, cdol1, r1)
	if err != nil {
		return nil, fmt.Errorf("sign the evidence: %w", err)
	}
	return tlv.Append(nil, tag77, tlv.Append(r1, tag9F4B, evidence)), nil
}

func (d *draft) find(tag tlv.Tag) int {
	return slices.IndexFunc(d.objects, func(n tlv.Node) bool { return n.Tag == tag })
}

func (d *draft) value(tag tlv.Tag) []byte {
	if i := d.find(tag); i >= 0 {
		return d.objects[i].Value
	}
	return nil
}

func (d *draft) atc() uint16 {
	if v := d.value(tag9F36); len(v) == 2 {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

// set replaces an object, or puts it behind 9F10.
func (d *draft) set(tag tlv.Tag, value []byte) {
	raw := tlv.Append(nil, tag, value)
	n := tlv.Node{Tag: tag, Value: raw[len(raw)-len(value):], Raw: raw}
	if i := d.find(tag); i >= 0 {
		d.objects[i] = n
		return
	}
	d.objects = slices.Insert(d.objects, d.find(tag9F10)+1, n)
}

func (d *draft) edit(tag tlv.Tag, change func([]byte) []byte) {
	if d.find(tag) >= 0 {
		d.set(tag, change(bytes.Clone(d.value(tag))))
	}
}

// Edits of a draft.

func claims(tag tlv.Tag, value ...byte) func(*draft) {
	return func(d *draft) { d.set(tag, value) }
}

func withholds(tag tlv.Tag) func(*draft) {
	return func(d *draft) {
		d.objects = slices.DeleteFunc(d.objects, func(n tlv.Node) bool { return n.Tag == tag })
	}
}

// adds puts objects at the end of what is MACed and signed.
func adds(raw ...byte) func(*draft) {
	return func(d *draft) {
		nodes, err := tlv.ParseFlat(raw)
		if err == nil {
			d.objects = append(d.objects, nodes...)
		}
	}
}

// iad changes bytes of the issuer application data in front of its MAC.
func iad(i int, b byte) func(*draft) {
	return func(d *draft) {
		d.edit(tag9F10, func(v []byte) []byte { v[i] = b; return v })
	}
}

// states makes a TC of the answer, with an allowance state that the broken
// phone invents from what its card would say.
func states(change func(s *cert.State, d *draft)) func(*draft) {
	return func(d *draft) {
		d.set(tag9F27, []byte{tc})
		d.edit(tag9F10, func(v []byte) []byte { v[3] |= flagOffline; v[4] = reasonNone; return v })
		withholds(tag9F8108)(d)
		s := d.nextState()
		if change != nil {
			change(&s, d)
		}
		d.set(tagDF8B10, s.Encode())
	}
}

// nextState is the state after this tap, as the card gave it or, where the card
// did not pay, as it would have to be.
func (d *draft) nextState() cert.State {
	if s, err := cert.ParseState(d.value(tagDF8B10)); err == nil {
		return s
	}
	c, cdol1 := d.x.card, d.x.command.Data
	now := d.x.a.turn.State().Cards[d.x.a.turn.find(c.ADF)]
	amount := find(c.cdol1, cdol1, tag9F02, 6)
	minor, _ := tlv.Number(amount)
	s := cert.State{Index: now.Index + 1, Chain: channel.FirstChain(c.Profile.Grant).Next(channel.Link{
		Transaction: [16]byte(find(c.cdol1, cdol1, tagDF8B22, 16)), Amount: [6]byte(amount),
		Currency: [2]byte(find(c.cdol1, cdol1, tag5F2A, 2)), ATC: d.atc(), TerminalID: [8]byte(find(c.cdol1, cdol1, tag9F1C, 8)),
	})}
	if g, err := cert.ParseGrant(c.Profile.Grant); err == nil {
		total, _ := tlv.Number(g.Total[:])
		spent := uint64(now.Spent) + minor
		s.Epoch = g.Epoch
		copy(s.Spent[:], tlv.BCD(spent, 6))
		copy(s.Remaining[:], tlv.BCD(total-min(total, spent), 6))
	}
	return s
}

// asks makes the card answer what the terminal did not ask for.
func asks(p1 byte) trick {
	return at(stepGenerate, alterCommand(func(c *apdu.Command) { c.P1 = p1 }))
}

// obliges gives the terminal the cryptogram that it asked for, whatever the
// card thinks of the sale.
func obliges(edits ...func(*draft)) trick {
	return at(stepGenerate, func(x *exchange, next func() []byte) []byte {
		all := edits
		switch x.command.P1 {
		case tc:
			all = append([]func(*draft){states(nil)}, edits...)
		case arqc:
			all = append([]func(*draft){claims(tag9F27, arqc), iad(4, reasonNone)}, edits...)
		}
		return forges(all...)(x, next)
	})
}
