package phone

import (
	"bytes"
	"crypto/subtle"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// Limits of the answers that are kept (scheme 7.4: at least the last 8 and at
// least 24 hours).
const (
	keepAnswers = 8
	keepFor     = 24 * time.Hour
	// maxAnswers bounds the state file. A phone that is tapped more often in a
	// day refuses, because forgetting an answer could debit a payment twice.
	maxAnswers = 1000
)

// generate answers GENERATE AC. All refusals stand before the commit; after it
// nothing can fail (scheme 5.2, last sentence).
func (w *Wallet) generate(p1 byte, data []byte) ([]byte, apdu.SW) {
	s := w.tap.session
	if s == nil || w.tap.answered { // precondition a
		return nil, apdu.NotSatisfied
	}
	c, state := w.cards[w.tap.selected], w.state.Cards[w.tap.selected]
	r, refused := c.request(p1, data, s)
	if refused != apdu.OK {
		return nil, refused
	}
	if state.ATC == 0xFFFF { // precondition e
		return nil, apdu.NotSatisfied
	}
	now := w.now()
	kept := keep(state.Answers, now)
	if len(kept) >= maxAnswers {
		return nil, apdu.NotSatisfied
	}

	verified := w.verified()
	reference := channel.MerchantReference(c.kref, [8]byte(r.merchant))
	d := c.decide(r, state, reference[:], verified)
	state.ATC++ // and nowhere else
	if d.cid == tc {
		state = c.spend(state, r)
	}
	body, err := c.respond(reply{request: r, decision: d, state: state, reference: reference[:],
		verified: r.cvmRequired() && verified, data: data, session: s})
	if err != nil {
		return nil, apdu.NotSatisfied
	}
	state.Answers = append(kept, Answer{Transaction: bytes.Clone(r.transaction), UN: bytes.Clone(r.un),
		Terminal: bytes.Clone(r.terminal), CID: d.cid, Body: body, At: now})

	next := w.state.clone()
	next.Cards[w.tap.selected] = state
	if err := w.commit(next); err != nil {
		return nil, apdu.NotSatisfied // not committed: scheme 5.2, shown as reason 12
	}
	w.tap.answered, w.tap.session = true, nil
	return body, apdu.OK
}

// request reads the CDOL1 data and checks preconditions b to d of scheme 7.4.
func (c *card) request(p1 byte, data []byte, s *session) (request, apdu.SW) {
	if p1 != aac && p1 != tc && p1 != arqc {
		return request{}, apdu.WrongParameters
	}
	if len(data) != c.cdol1.Size() {
		return request{}, apdu.WrongLength
	}
	get := func(tag tlv.Tag, size int) []byte { return find(c.cdol1, data, tag, size) }
	r := request{asked: p1, amountBCD: get(tag9F02, 6), currency: get(tag5F2A, 2), date: get(tag9A, 3),
		clock: get(tag9F21, 3), un: get(tag9F37, 4), merchant: get(tagDF8B21, 8), transaction: get(tagDF8B22, 16),
		terminal: get(tag9F1C, 8), original: get(tagDF8B24, 16), wanted: get(tagDF8B26, 2)}
	kind, relay := get(tag9C, 1), get(tagDF8B23, 14)
	for _, v := range [][]byte{r.amountBCD, r.currency, r.date, r.clock, r.un, r.merchant, r.transaction, r.terminal,
		r.original, r.wanted, kind, relay} {
		if v == nil { // a card whose CDOL1 lacks a required element (scheme 4.1) never pays
			return request{}, apdu.NotSatisfied
		}
	}
	r.kind = kind[0]
	for _, same := range sameInBoth {
		before := find(c.pdol, s.pdolData, same.tag, same.size)
		if before == nil || !bytes.Equal(before, get(same.tag, same.size)) {
			return request{}, apdu.NotSatisfied
		}
	}
	if subtle.ConstantTimeCompare(relay, s.relay[:]) != 1 {
		return request{}, apdu.NotSatisfied
	}
	amount, ok := tlv.Number(r.amountBCD)
	if !ok {
		return request{}, apdu.WrongData
	}
	r.amount = int64(amount) // 12 digits
	return r, apdu.OK
}

// find is DOL.Find with nil for an element that the list does not request with
// its own size.
func find(list tlv.DOL, data []byte, tag tlv.Tag, size int) []byte {
	value, _ := list.Find(data, tag, size)
	return value
}

// sameInBoth are the elements of precondition d.
var sameInBoth = []struct {
	tag  tlv.Tag
	size int
}{{tag9F37, 4}, {tag9F02, 6}, {tag5F2A, 2}, {tag9F1A, 2}, {tag9C, 1}, {tagDF8B26, 2}}

// spend moves the allowance and the tap log by one TC (scheme 7.2). The card
// has a grant, otherwise decide would not have given a TC.
func (c *card) spend(s CardState, r request) CardState {
	s.Index++
	s.Spent += r.amount
	next := channel.Chain(s.Chain).Next(channel.Link{Transaction: [16]byte(r.transaction),
		Amount: [6]byte(r.amountBCD), Currency: [2]byte(r.currency), ATC: s.ATC, TerminalID: [8]byte(r.terminal)})
	s.Chain = next[:]
	s.Taps = append(s.Taps, Tap{Transaction: bytes.Clone(r.transaction), Amount: r.amount, ATC: s.ATC,
		Epoch: c.grant.Epoch, Index: s.Index, Terminal: bytes.Clone(r.terminal), Chain: s.Chain})
	return s
}

// keep drops the answers that are neither among the last ones, this one
// included, nor young.
func keep(answers []Answer, now time.Time) []Answer {
	var kept []Answer
	for i, a := range answers {
		if len(answers)-i < keepAnswers || now.Sub(a.At) <= keepFor {
			kept = append(kept, a)
		}
	}
	return kept
}

// recoverAnswer hands out a kept answer (scheme 8.6). It changes nothing.
func (w *Wallet) recoverAnswer(data []byte) ([]byte, apdu.SW) {
	if len(data) != 28 {
		return nil, apdu.WrongLength
	}
	if w.tap.selected < 0 {
		return nil, apdu.NotSatisfied
	}
	for _, a := range w.state.Cards[w.tap.selected].Answers {
		if bytes.Equal(a.Transaction, data[:16]) && bytes.Equal(a.UN, data[16:20]) && bytes.Equal(a.Terminal, data[20:]) {
			return a.Body, apdu.OK
		}
	}
	return nil, apdu.ReferenceMissing
}
