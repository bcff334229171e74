package phone

import (
	"encoding/binary"
	"fmt"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// reply is what the answer to GENERATE AC is made of.
type reply struct {
	request
	decision
	state     CardState // as it will be committed
	reference []byte    // DF8B0A
	verified  bool      // CVM required and the user authenticated
	data      []byte    // CDOL1 data
	session   *session
}

// CVD and IAD codings (scheme 4.2, 4.4).
const (
	cvdNone, cvdDone = 0x00, 0x03

	iadFormat    = 0xB1
	flagOffline  = 0x80
	flagCDCVM    = 0x40
	flagRefund   = 0x20
	flagRelay    = 0x10
	iadMACOffset = iadSize - channel.IADMACSize
	iadSize      = 18
)

// respond makes the 77 object in the order of scheme 6.7: R0z, IAD-MAC, R0, AC,
// EDA-MAC, R1, 9F4B.
func (c *card) respond(y reply) ([]byte, error) {
	iad := c.iad(y)
	r0z := c.r0(y, iad)
	mac := channel.IADMAC(y.session.keys.SKi, y.session.pdolData, y.data, r0z, c.sdh)
	copy(iad[iadMACOffset:], mac[:])
	r0 := c.r0(y, iad)

	ac := channel.AC(channel.SKac(c.mkac, y.state.ATC), y.data, [2]byte(c.AIP), r0)
	eda := channel.EDAMAC(y.session.keys.SKi, ac, mac)
	r1 := tlv.Append(r0, tag9F26, ac[:])
	r1 = tlv.Append(r1, tag9F8105, eda[:])
	evidence, err := channel.SignEvidence(c.sign, c.sdh, y.session.pdolData, y.data, r1)
	if err != nil {
		return nil, fmt.Errorf("sign the evidence: %w", err)
	}
	return tlv.Append(nil, tag77, tlv.Append(r1, tag9F4B, evidence)), nil
}

// iad is the issuer application data with its MAC still zero.
func (c *card) iad(y reply) []byte {
	var flags byte
	if y.cid == tc {
		flags |= flagOffline
	}
	if y.verified {
		flags |= flagCDCVM
	}
	if y.kind == typeRefund {
		flags |= flagRefund
	}
	if y.session.relayed {
		flags |= flagRelay
	}
	iad := make([]byte, iadSize)
	copy(iad, []byte{iadFormat, c.KVN, c.Kind, flags, y.reason})
	copy(iad[5:iadMACOffset], c.Build)
	return iad
}

// r0 is the answer's objects up to the cryptogram (scheme 6.4, order of 7.4).
func (c *card) r0(y reply, iad []byte) []byte {
	cvd := byte(cvdNone)
	if y.verified {
		cvd = cvdDone
	}
	b := tlv.Append(nil, tag9F27, []byte{y.cid})
	b = tlv.Append(b, tag9F36, binary.BigEndian.AppendUint16(nil, y.state.ATC))
	b = tlv.Append(b, tag9F8102, []byte{cvd})
	b = tlv.Append(b, tag9F10, iad)
	if y.cid == tc {
		b = tlv.Append(b, tagDF8B10, c.allowance(y.state))
	}
	b = tlv.Append(b, tagDF8B0A, y.reference)
	if y.restart {
		b = tlv.Append(b, tag9F8108, []byte{0x20, 0x20})
	}
	return b
}
