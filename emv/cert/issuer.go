// Package cert is the layout of the scheme's certificates, grant and allowance
// state (scheme 2.1 to 2.4, 7.2), in one place: the kernel checks them (scheme
// 2.5), the backend checks them again later (scheme 9.4), issuing signs them and
// the phone reads its own.
//
// Each check is one method named after what it asks; the order of the checks
// and what a failure means belong to the caller. Parsing promises the layout
// only, never that anything is genuine. The package keeps no keys and asks no
// clock.
package cert

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// ErrLayout is wrapped when bytes do not have the size, format byte or suite
// of their kind.
var ErrLayout = errors.New("wrong layout")

// suite is E1, the only signature suite (scheme 1.2).
const suite = 0xE1

// Date is n8, YYYYMMDD.
type Date [4]byte

// Issuer is an issuer certificate (scheme 2.1).
type Issuer struct {
	RID       [5]byte
	Index     byte
	Operator  [4]byte
	NotBefore Date
	NotAfter  Date
	Serial    uint32
	Usage     byte
	Key       [33]byte
	signature [channel.SignatureSize]byte
}

const (
	issuerSize   = 122
	issuerFormat = 0xA2
)

// ParseIssuer reads tag 90: scheme 2.5 step 2.
func ParseIssuer(b []byte) (Issuer, error) {
	if err := layout(b, issuerSize, issuerFormat); err != nil {
		return Issuer{}, fmt.Errorf("issuer certificate: %w", err)
	}
	return Issuer{
		RID: [5]byte(b[2:7]), Index: b[7], Operator: [4]byte(b[8:12]),
		NotBefore: Date(b[12:16]), NotAfter: Date(b[16:20]),
		Serial: binary.BigEndian.Uint32(b[20:24]), Usage: b[24],
		Key: [33]byte(b[25:58]), signature: [64]byte(b[58:122]),
	}, nil
}

func (c Issuer) body() []byte {
	b := append(make([]byte, 0, issuerSize), issuerFormat, suite)
	b = append(append(append(b, c.RID[:]...), c.Index), c.Operator[:]...)
	b = append(append(b, c.NotBefore[:]...), c.NotAfter[:]...)
	b = append(binary.BigEndian.AppendUint32(b, c.Serial), c.Usage)
	return append(b, c.Key[:]...)
}

// Encode codes the certificate with the signature it has.
func (c Issuer) Encode() []byte { return append(c.body(), c.signature[:]...) }

// Sign signs the certificate by the scheme's CA and codes it.
func (c Issuer) Sign(ca channel.SignKey) ([]byte, error) {
	return sign("issuer certificate", c.body(), ca)
}

// InForce reports not before ≤ date ≤ not after; dates that are not BCD are
// never in force (scheme 2.5 step 6).
func (c Issuer) InForce(date Date) bool {
	return bcd(c.NotBefore, c.NotAfter) && !date.Before(c.NotBefore) && !c.NotAfter.Before(date)
}

// MayIssueDevices is usage b8, MayIssueGrants is usage b7 (scheme 2.1).
func (c Issuer) MayIssueDevices() bool { return c.Usage&0x80 != 0 }

// MayIssueGrants is usage b7.
func (c Issuer) MayIssueGrants() bool { return c.Usage&0x40 != 0 }

// Authenticate is scheme 2.5 step 7: it returns the issuer's key if the CA has
// signed the certificate and the key is a point.
func (c Issuer) Authenticate(ca channel.VerifyKey) (channel.VerifyKey, bool) {
	if !ca.Verify(c.signature[:], c.body()) {
		return channel.VerifyKey{}, false
	}
	q, err := c.VerifyKey()
	return q, err == nil
}

// SignedBy is Authenticate for who needs no key.
func (c Issuer) SignedBy(ca channel.VerifyKey) bool { _, ok := c.Authenticate(ca); return ok }

// VerifyKey is Q_I.
func (c Issuer) VerifyKey() (channel.VerifyKey, error) { return channel.NewVerifyKey(c.Key[:]) }

// Before compares two BCD dates.
func (d Date) Before(o Date) bool {
	return binary.BigEndian.Uint32(d[:]) < binary.BigEndian.Uint32(o[:])
}

func bcd(dates ...Date) bool {
	for _, d := range dates {
		if !tlv.IsBCD(d[:]) {
			return false
		}
	}
	return true
}

func layout(b []byte, size int, format byte) error {
	switch {
	case len(b) != size:
		return fmt.Errorf("%w: %d bytes, want %d", ErrLayout, len(b), size)
	case b[0] != format || b[1] != suite:
		return fmt.Errorf("%w: format or suite", ErrLayout)
	}
	return nil
}

func sign(what string, body []byte, key channel.SignKey) ([]byte, error) {
	sig, err := key.Sign(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return append(body, sig...), nil
}
