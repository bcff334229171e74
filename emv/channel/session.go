package channel

import (
	"crypto/subtle"

	"tapkeeper/emv/tlv"
)

// Session holds the two keys of a tap (scheme 6.1).
type Session struct {
	SKc Key // encrypts r and the records
	SKi Key // MACs the answer to GENERATE AC
}

// derivation is L of scheme 6.1.
var derivation = [15]byte{0x01, 0x00, 0x54, 0x33, 0x4A, 0x32, 0x59, 0x57, 0x77, 0x3D, 0xA5, 0xA5, 0xA5, 0x01, 0x80}

// DeriveSession makes the session keys from the agreed x coordinate z.
func DeriveSession(z Secret) Session {
	kdk := keyOf(CMAC(keyOf([KeySize]byte{}), z.Bytes()))
	one := [16]byte{0x01}
	two := [16]byte{0x02}
	copy(one[1:], derivation[:])
	copy(two[1:], derivation[:])
	return Session{SKc: keyOf(kdk.encrypt(one)), SKi: keyOf(kdk.encrypt(two))}
}

// IADMAC is the MAC inside 9F10 (scheme 6.5); sdh is the recomputed static
// data hash.
func IADMAC(ski Key, pdolData, cdol1Data, r0z []byte, sdh [32]byte) [8]byte {
	return left8(CMACPlus(ski, []byte{0, 0}, pdolData, cdol1Data, r0z, sdh[:]))
}

// EDAMAC is the MAC over the application cryptogram (scheme 6.5).
func EDAMAC(ski Key, ac, iadMAC [8]byte) [8]byte {
	return left8(CMAC(ski, []byte{0, 0}, ac[:], iadMAC[:]))
}

// SameMAC compares two MACs in constant time.
func SameMAC(a, b [8]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// Tags that R0 and R1 leave out or alter (scheme 6.4).
const (
	tagIAD      tlv.Tag = 0x9F10
	tagAC       tlv.Tag = 0x9F26
	tagEDAMAC   tlv.Tag = 0x9F8105
	tagEvidence tlv.Tag = 0x9F4B
)

// IADMACSize is the size of the MAC at the end of 9F10.
const IADMACSize = 8

// R0 joins the objects of a GENERATE AC answer, as sent, without the
// cryptogram, the EDA-MAC and the evidence (scheme 6.4).
func R0(objects []tlv.Node) []byte { return join(objects, tagAC, tagEDAMAC, tagEvidence) }

// R1 joins the objects without the evidence (scheme 6.4).
func R1(objects []tlv.Node) []byte { return join(objects, tagEvidence) }

// R0Zeroed is R0 with the IAD-MAC replaced by zeros, R0z of scheme 6.4.
func R0Zeroed(objects []tlv.Node) []byte {
	out := R0(objects)
	at := 0
	for _, n := range objects {
		switch n.Tag {
		case tagAC, tagEDAMAC, tagEvidence:
			continue
		}
		at += len(n.Raw)
		if n.Tag == tagIAD && len(n.Value) >= IADMACSize {
			clear(out[at-IADMACSize : at])
		}
	}
	return out
}

func join(objects []tlv.Node, without ...tlv.Tag) []byte {
	size := 0
	for _, n := range objects {
		size += len(n.Raw)
	}
	out := make([]byte, 0, size)
next:
	for _, n := range objects {
		for _, t := range without {
			if n.Tag == t {
				continue next
			}
		}
		out = append(out, n.Raw...)
	}
	return out
}

// EvidenceFormat is the first byte of 9F4B and of what it signs (scheme 6.7).
const EvidenceFormat = 0xA5

// SignEvidence makes the value of 9F4B.
func SignEvidence(ds SignKey, sdh [32]byte, pdolData, cdol1Data, r1 []byte) ([]byte, error) {
	sig, err := ds.Sign([]byte{EvidenceFormat}, sdh[:], pdolData, cdol1Data, r1)
	if err != nil {
		return nil, err
	}
	return append([]byte{EvidenceFormat}, sig...), nil
}

// VerifyEvidence checks a value of 9F4B (scheme 5.5 step 4).
func VerifyEvidence(qs VerifyKey, value []byte, sdh [32]byte, pdolData, cdol1Data, r1 []byte) bool {
	return len(value) == 1+SignatureSize && value[0] == EvidenceFormat &&
		qs.Verify(value[1:], []byte{EvidenceFormat}, sdh[:], pdolData, cdol1Data, r1)
}

func left8(b [16]byte) [8]byte { return [8]byte(b[:8]) }
