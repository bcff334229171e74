package backend

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/wallet/ledger"
)

// CAKey is a public key of the scheme (scheme 1.3).
type CAKey struct {
	RID    [5]byte
	Index  byte
	Public [33]byte // SEC1 compressed
}

type caName struct {
	rid   [5]byte
	index byte
}

// Verifier finds out whether evidence records are genuine (scheme 9.4). It is
// safe for concurrent use; what it remembers is in the ledger.
type Verifier struct {
	ca   map[caName]channel.VerifyKey
	imk  map[byte]channel.Key
	good *memo // signatures of the issuer that were verified

	sealing map[byte]cipher.AEAD // of records in the ledger, by the master key's version
	newest  byte
}

// NewVerifier takes the scheme's public keys and the issuer's master keys by version.
func NewVerifier(keys []CAKey, imk map[byte]channel.Key) (*Verifier, error) {
	v := &Verifier{ca: map[caName]channel.VerifyKey{}, imk: map[byte]channel.Key{}, good: &memo{}, sealing: map[byte]cipher.AEAD{}}
	for _, k := range keys {
		public, err := channel.NewVerifyKey(k.Public[:])
		if err != nil {
			return nil, fmt.Errorf("CA key %X index %02X: %w", k.RID, k.Index, err)
		}
		v.ca[caName{k.RID, k.Index}] = public
	}
	for kvn, k := range imk {
		if k.Len() != channel.KeySize {
			return nil, fmt.Errorf("issuer master key %02X: %d bytes", kvn, k.Len())
		}
		v.imk[kvn], v.newest = k, max(v.newest, kvn)
		var err error
		if v.sealing[kvn], err = recordAEAD(k); err != nil {
			return nil, fmt.Errorf("issuer master key %02X: %w", kvn, err)
		}
	}
	return v, nil
}

// Examined is a record after the part of 9.4 that needs no memory. It is made
// outside the ledger's lock, because signatures take longer than rows.
type Examined struct {
	verifier    *Verifier
	record      []byte
	at          time.Time // of the delivery
	verdict     Verdict   // the failure of steps 1 to 5, if any
	evidence    *evidence
	issuer      cert.Issuer
	deviceCert  cert.Device
	hash        [32]byte // evidence hash, scheme 7.6
	grantsKey   channel.VerifyKey
	cryptograms bool           // step 7, but for the registered kind
	granted     bool           // the grant's part of step 9
	blocked     *ledger.Change // of the device, when this record had it blocked
}

// Examine runs steps 1 to 5 of scheme 9.4. The uploader is nil when only the
// record is to be judged.
func (v *Verifier) Examine(record []byte, by *Uploader) *Examined {
	e, err := parseRecord(record)
	if err != nil {
		return &Examined{verdict: failed(1, reasonProtocol)}
	}
	x := &Examined{verifier: v, record: record, evidence: e}
	if by != nil {
		x.at = by.now
	}
	switch {
	case !v.chain(x):
		x.verdict = failed(2, reasonCertificate)
	case x.deviceCert.SDH != e.staticHash():
		x.verdict = failed(3, reasonCertificate)
	case !x.signed():
		x.verdict = failed(4, reasonSignature)
	case !consistent(e) || by != nil && !by.delivers(e):
		x.verdict = failed(5, reasonProtocol)
	}
	x.hash = sha256.Sum256(append(bytes.Clone(e.part[tagCDOL1Data]), e.part[tagAnswer]...))
	if x.verdict.Step == 0 {
		x.cryptograms, x.granted = v.cryptogram(e), v.grants(x)
	}
	return x
}

// chain is step 2: steps 2 to 4, 6 to 9 and 12 to 14 of scheme 2.5, at the date
// of the tap. A revocation of today does not reach into the past.
func (v *Verifier) chain(x *Examined) bool {
	e := x.evidence
	issuer, err := cert.ParseIssuer(e.part[tagIssuerCert])
	if err != nil || !bytes.Equal(issuer.RID[:], e.part[tagAID][:5]) {
		return false
	}
	ca, known := v.ca[caName{issuer.RID, issuer.Index}]
	if !known || !issuer.InForce(e.day()) || !issuer.MayIssueDevices() ||
		!v.good.remember(func() bool { return issuer.SignedBy(ca) }, e.part[tagIssuerCert]) {
		return false
	}
	if x.grantsKey, err = issuer.VerifyKey(); err != nil {
		return false
	}
	device, err := cert.ParseDevice(e.part[tagDeviceCert])
	if err != nil || e.device == nil || !device.Belongs(issuer.Serial, *e.device) {
		return false
	}
	x.issuer, x.deviceCert = issuer, device
	return device.Begun(e.day()) && !device.Expired(e.day()) &&
		v.good.remember(func() bool { return device.SignedBy(x.grantsKey) }, e.part[tagIssuerCert], e.part[tagDeviceCert])
}

// signed is step 4.
func (x *Examined) signed() bool {
	e := x.evidence
	qs, err := x.deviceCert.VerifyKey()
	return err == nil && channel.VerifyEvidence(qs, e.answer[tagEvidence], x.deviceCert.SDH,
		e.part[tagPDOLData], e.part[tagCDOL1Data], channel.R1(e.objects))
}

// consistent is step 5 without policy.
func consistent(e *evidence) bool {
	for _, d := range doubled {
		if !bytes.Equal(e.pdol[d.tag], e.cdol1[d.tag]) {
			return false
		}
	}
	var padded [16]byte
	copy(padded[:], e.part[tagAID])
	if !bytes.Equal(padded[:], e.cdol1[tagAID]) || !bytes.HasPrefix(e.part[tagADF], e.part[tagAID]) {
		return false
	}
	switch e.kind() {
	case kindApproved, kindReversal:
		return e.cid() == cidTC
	case kindOnline:
		return e.cid() == cidARQC || e.cid() == cidTC
	case kindDeclined:
		return e.cid() == cidAAC || e.cid() == cidARQC
	case kindSuspect:
		return true
	case kindRefund:
		return e.cid() == cidARQC
	}
	return false
}

// cryptogram is step 7 with the kind that the phone states.
func (v *Verifier) cryptogram(e *evidence) bool {
	iad := e.answer[tagIAD]
	imk, known := v.imk[iad[1]]
	if !known {
		return false
	}
	mk := channel.MKac(imk, iad[2], iad[1], *e.device)
	want := channel.AC(channel.SKac(mk, e.atc()), e.part[tagCDOL1Data], [2]byte(e.part[tagAIP]), channel.R0(e.objects))
	return subtle.ConstantTimeCompare(want[:], e.answer[tagAC]) == 1
}

// reads adds what Judge will read; nothing for a record that will not get so far.
func (x *Examined) reads(a *ledger.Ahead) {
	if x == nil || x.verdict.Step != 0 {
		return
	}
	a.Device, a.ATC = x.evidence.device, x.evidence.atc()
	if state, err := cert.ParseState(x.evidence.answer[tagState]); err == nil {
		a.Epoch, a.Index = state.Epoch, state.Index
	}
}

// Judge runs steps 6 to 10 of scheme 9.4 against the ledger. It writes what a
// good record proves, and blocks a device that was caught; both belong to the
// caller's ledger transaction.
func (x *Examined) Judge(tx *ledger.Tx) (Verdict, error) {
	if x.verdict.Step != 0 {
		return x.verdict, nil
	}
	e := x.evidence
	device, err := tx.Device(*e.device)
	switch {
	case errors.Is(err, ledger.ErrNone):
		return failed(6, reasonDevice), nil
	case err != nil:
		return Verdict{}, fmt.Errorf("read device: %w", err)
	case device.Status != ledger.DeviceActive:
		return failed(6, reasonRestricted), nil
	case !x.cryptograms || device.Kind != e.answer[tagIAD][2]:
		return failed(7, reasonCryptogram), nil
	}
	good := Verdict{OK: true, CID: e.cid(), Device: device.ID, Account: device.Account}
	mark, err := tx.Mark(device.ID, e.atc())
	switch {
	case err == nil && mark.Evidence == x.hash:
		good.Duplicate = true
		return good, nil
	case err == nil:
		if good.Duplicate, err = x.repeats(tx, mark.Evidence); err != nil || good.Duplicate {
			return good, err
		}
		return x.caught(tx, failed(8, reasonCounter), RuleCounter, mark.Evidence)
	case !errors.Is(err, ledger.ErrNone):
		return Verdict{}, fmt.Errorf("read counter: %w", err)
	}
	bad, err := x.judgeAllowance(tx)
	if err != nil || bad.Step != 0 {
		return bad, err
	}
	err = tx.PutMark(ledger.Mark{Device: device.ID, ATC: e.atc(), Evidence: x.hash, Payment: [16]byte(e.cdol1[tagTransaction])})
	if err != nil {
		return Verdict{}, fmt.Errorf("keep counter: %w", err)
	}
	return good, x.keep(tx)
}
