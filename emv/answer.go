package emv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
)

// answer is a GENERATE AC answer that passed step 1 of scheme 5.5.
type answer struct {
	raw     []byte     // the whole 77
	kids    []tlv.Node // its objects, known and unknown, as sent
	objects objects
	cid     byte
	cvd     byte
	reason  Reason // IAD byte 4
	atc     uint16
	state   *cert.State // DF8B10
}

const iadFormat = 0xB1

// answerObjects are the objects of scheme 4.2 that this answer may hold.
const answerObjects = 11

// parseAnswer is step 1: form, mandatory objects, lengths, forbidden and
// duplicate objects. Duplicates of objects of earlier answers are caught too,
// since each object belongs to one answer only.
func parseAnswer(data []byte) (answer, error) {
	root, err := tlv.ParseOne(data)
	if err != nil {
		return answer{}, err
	}
	if root.Tag != 0x77 {
		return answer{}, fmt.Errorf("template %v", root.Tag)
	}
	a := answer{raw: data, kids: root.Kids, objects: make(objects, 0, answerObjects)}
	if err := a.objects.take([]tlv.Node{root}, origin{source: dict.FromGenerateAC, direct: true}); err != nil {
		return answer{}, err
	}
	o := a.objects
	if !o.has(0x9F27, 0x9F36, 0x9F8102, 0x9F10, 0xDF8B0A, 0x9F26, 0x9F8105, 0x9F4B) {
		return answer{}, errors.New("mandatory object missing")
	}
	iad := o.value(0x9F10)
	if iad[0] != iadFormat { // scheme 4.4
		return answer{}, errors.New("9F10 of another format")
	}
	a.cid, a.cvd, a.reason = o.value(0x9F27)[0], o.value(0x9F8102)[0], Reason(iad[4])
	a.atc = binary.BigEndian.Uint16(o.value(0x9F36))
	if v := o.value(0xDF8B10); v != nil {
		s, err := cert.ParseState(v)
		if err != nil {
			return answer{}, err
		}
		a.state = &s
	}
	return a, nil
}

// authentic is step 2: both MACs, in constant time.
func (a *answer) authentic(p *pending) bool {
	ski, err := channel.NewKey(p.SKi)
	if err != nil {
		return false
	}
	iad := channel.IADMAC(ski, p.PDOLData, p.CDOL1Data, channel.R0Zeroed(a.kids), p.SDH)
	eda := channel.EDAMAC(ski, [8]byte(a.objects.value(0x9F26)), iad)
	good := channel.SameMAC(iad, [8]byte(a.objects.value(0x9F10)[10:18]))
	return channel.SameMAC(eda, [8]byte(a.objects.value(0x9F8105))) && good
}

// rank orders the cryptograms: a phone may answer less than it was asked
// (scheme 5.5 step 3).
func rank(cid byte) int {
	switch cid {
	case askAAC:
		return 1
	case askARQC:
		return 2
	case askTC:
		return 3
	}
	return 0
}

// coherent is step 3.
func (a *answer) coherent(p *pending) bool {
	return rank(a.cid) != 0 && rank(a.cid) <= rank(p.Asked) &&
		(a.state != nil) == (a.cid == askTC) &&
		(a.cid == askAAC || !a.objects.has(0x9F8108)) &&
		(a.cid == askAAC || a.reason == ReasonOK)
}

// evident is step 4: the signature by the authenticated device key.
func (a *answer) evident(p *pending) bool {
	qs := p.qs.get(p.verifyKey)
	return channel.VerifyEvidence(qs, a.objects.value(0x9F4B), p.SDH, p.PDOLData, p.CDOL1Data, channel.R1(a.kids))
}

// restarts is step 5: the message of a restart indicator that counts.
func (a *answer) restarts() (Message, bool) {
	v := a.objects.value(0x9F8108)
	if a.cid != askAAC || len(v) != 2 || v[0] != 0x20 {
		return MsgNone, false
	}
	m := Message(v[1])
	return m, m == MsgSeePhone || m == MsgPresentAgain
}
