package emv

import (
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// recordVersion is DF8B30.
const recordVersion = 0x01

// usualRecord is room for the record of a usual tap, which has some 1050 bytes.
const usualRecord = 1280

// record builds the evidence object BF8B01: everything that the backend needs
// to rebuild and verify the signed message, in the order and with the minimal
// lengths of scheme 9.1.
func (v *verdict) record(kind RecordKind, reason Reason) Secret {
	p := v.p
	cvm := v.cvm()
	b := make([]byte, 0, usualRecord)
	add := func(tag tlv.Tag, value []byte) { b = tlv.Append(b, tag, value) }
	optional := func(tag tlv.Tag, value []byte) {
		if value != nil {
			add(tag, value)
		}
	}
	add(0xDF8B30, []byte{recordVersion})
	add(0xDF8B31, []byte{byte(kind)})
	add(0xDF8B37, []byte{byte(reason)})
	add(0x9F06, p.AID)
	add(0x84, p.ADF)
	add(0x9F38, p.PDOL)
	add(0x9F2C, p.Qualifier)
	add(0x82, p.AIP)
	add(0xDF8B32, p.PDOLData)
	add(0xDF8B33, p.CDOL1Data)
	add(0xDF8B36, p.Signed)
	optional(0x90, p.Issuer)
	optional(0x9F46, p.Device)
	optional(0xDF8B11, p.Grant)
	add(0xDF8B34, v.ans.raw)
	add(0x95, v.tvr[:])
	add(0x9B, v.tsi[:])
	add(0x9F34, cvm[:])
	return channel.NewSecret(tlv.Append(nil, 0xBF8B01, b))
}
