package terminal

import (
	"fmt"
	"slices"

	"tapkeeper/emv"
	"tapkeeper/emv/tlv"
	"tapkeeper/uplink/wire"
)

// proof is what a message carries beside the payment.
type proof struct {
	record []byte
	kind   emv.RecordKind
}

func proofOf(out *emv.Outcome) proof { return proof{out.Record.Bytes(), out.RecordKind} }

// Objects of an evidence record (scheme 9.1).
const (
	tagRecord tlv.Tag = 0xBF8B01
	tagKind   tlv.Tag = 0xDF8B31
	tagAnswer tlv.Tag = 0xDF8B34
	tagCID    tlv.Tag = 0x9F27
)

// cidTC says that the phone has committed, and spent of its allowance.
const cidTC = 0x40

// proofKept is the proof that a message of a kind may carry, out of the record
// that was stored with the outcome; none when there is none that fits.
func (t *Terminal) proofKept(p *Payment, kind outgoing) (proof, error) {
	record, ok, err := t.journal.Get(kindRecord, p.ID.String())
	if err != nil {
		return proof{}, fmt.Errorf("read the record of %s: %w", p.ID, err)
	}
	if !ok {
		return proof{}, nil
	}
	if kind == sendReversal {
		if reversal := reversalOf(record); reversal != nil {
			return proof{reversal, emv.RecordReversal}, nil
		}
		return proof{}, nil // by id alone
	}
	return proof{record, kindOf(record)}, nil
}

// kindOf reads DF8B31 of a record, zero when there is none.
func kindOf(record []byte) emv.RecordKind {
	for _, n := range partsOf(record) {
		if n.Tag == tagKind && len(n.Value) == 1 {
			return emv.RecordKind(n.Value[0])
		}
	}
	return 0
}

// reversalOf is the same record as kind 04: what the phone has signed is
// unchanged. Nil when the phone did not commit: then there is no allowance to
// return, and kind 04 is not allowed (scheme 9.4 step 5).
func reversalOf(record []byte) []byte {
	var parts []byte
	committed := false
	for _, n := range partsOf(record) {
		switch n.Tag {
		case tagKind:
			parts = tlv.Append(parts, n.Tag, []byte{byte(emv.RecordReversal)})
			continue
		case tagAnswer:
			committed = cidOf(n.Value) == cidTC
		}
		parts = append(parts, n.Raw...)
	}
	if !committed {
		return nil
	}
	return tlv.Append(nil, tagRecord, parts)
}

// partsOf takes a record apart; nothing when it is none.
func partsOf(record []byte) []tlv.Node {
	outer, err := tlv.ParseFlat(record)
	if err != nil || len(outer) != 1 || outer[0].Tag != tagRecord {
		return nil
	}
	parts, err := tlv.ParseFlat(outer[0].Value)
	if err != nil {
		return nil
	}
	return parts
}

// cidOf reads 9F27 of a GENERATE AC answer.
func cidOf(answer []byte) byte {
	outer, err := tlv.ParseFlat(answer)
	if err != nil || len(outer) != 1 {
		return 0
	}
	inner, err := tlv.ParseFlat(outer[0].Value)
	if err != nil {
		return 0
	}
	for _, n := range inner {
		if n.Tag == tagCID && len(n.Value) == 1 {
			return n.Value[0] & 0xC0
		}
	}
	return 0
}

// abandon notes attempts whose answers were never obtained: whatever becomes of
// the payment, the wallet is told, so that no allowance waits for 31 days.
func (p *Payment) abandon(attempts []emv.Unanswered) {
	for _, a := range attempts {
		if len(p.Abandoned) < wire.MaxAbandoned && !slices.Contains(p.Abandoned, wire.Abandoned(a)) {
			p.Abandoned = append(slices.Clip(p.Abandoned), wire.Abandoned(a))
		}
	}
}
