package channel

import (
	"crypto/sha256"
	"encoding/binary"
)

// MKac derives the device's cryptogram key from the issuer master key
// (scheme 6.6).
func MKac(imk Key, kind, kvn byte, device [8]byte) Key {
	in := [16]byte{0x54, 0x4B, 0x41, 0x43, kind, kvn}
	copy(in[8:], device[:])
	return keyOf(imk.encrypt(in))
}

// SKac derives the key of one tap (scheme 6.6).
func SKac(mk Key, atc uint16) Key {
	return keyOf(mk.encrypt([16]byte{byte(atc >> 8), byte(atc)}))
}

// AC is the application cryptogram over R0 with the real IAD-MAC (scheme 6.6).
func AC(sk Key, cdol1Data []byte, aip [2]byte, r0 []byte) [8]byte {
	return left8(CMAC(sk, cdol1Data, aip[:], r0))
}

// Kref derives an account's reference key (scheme 6.6).
func Kref(krm Key, kind byte, account string) Key {
	return keyOf(CMAC(krm, []byte{0x54, 0x4B, 0x4B, 0x52, kind}, []byte(account)))
}

// MerchantHash is DF8B21 (scheme 1.4).
func MerchantHash(merchantID string) [8]byte {
	h := sha256.Sum256([]byte(merchantID))
	return [8]byte(h[:8])
}

// MerchantReference is DF8B0A, stable for one account at one merchant
// (scheme 7.5).
func MerchantReference(kref Key, merchantHash [8]byte) [16]byte {
	return CMAC(kref, []byte{0x54, 0x4B, 0x52, 0x46}, merchantHash[:])
}

// Chain is a link C_i of the allowance chain (scheme 7.2).
type Chain [16]byte

// FirstChain is C_0, from the grant's bytes.
func FirstChain(grant []byte) Chain {
	return left16(sha256.Sum256(append([]byte{0xC5}, grant...)))
}

// Link is what one tap adds to the chain.
type Link struct {
	Transaction [16]byte
	Amount      [6]byte // 9F02
	Currency    [2]byte // 5F2A
	ATC         uint16
	TerminalID  [8]byte
}

// Next is C_i, from C_(i-1) and the tap.
func (c Chain) Next(l Link) Chain {
	b := append([]byte{0xC5}, c[:]...)
	b = append(b, l.Transaction[:]...)
	b = append(b, l.Amount[:]...)
	b = append(b, l.Currency[:]...)
	b = binary.BigEndian.AppendUint16(b, l.ATC)
	b = append(b, l.TerminalID[:]...)
	return left16(sha256.Sum256(b))
}

func left16(b [32]byte) Chain { return Chain(b[:16]) }
