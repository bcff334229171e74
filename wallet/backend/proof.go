package backend

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// Rules of a proof: what two records of one device cannot both say.
const (
	RuleCounter = "counter" // one ATC, two contents
	RuleIndex   = "index"   // one step of an epoch's allowance, two contents
	RuleChain   = "chain"   // neighbouring steps that do not follow one another
	RuleLog     = "log"     // a tap, and the phone's own log without it: the second is an upload
)

// recordKeyUse keeps the keys of records apart from whatever else comes from a master key.
const recordKeyUse = "tapkeeper ledger record v1"

// Proof is evidence against a device: whoever has the scheme's public keys can
// test it with Prove, without trusting the wallet.
type Proof struct {
	Device        [8]byte
	Rule          string
	First, Second []byte // records (BF8B01); of RuleLog the second is an upload
}

// Prove holds two records against each other, with nothing but the scheme's
// public keys: both are signed by one device that was certified, and both cannot
// be true. An error says why they prove nothing.
func Prove(keys []CAKey, first, second []byte) (Proof, error) {
	v, err := NewVerifier(keys, nil)
	if err != nil {
		return Proof{}, err
	}
	if u, signature, err := readUpload(second); err == nil {
		return v.proveLog(first, second, u, signature)
	}
	a, b := v.Examine(first, nil), v.Examine(second, nil)
	for n, x := range [...]*Examined{a, b} {
		if x.verdict.Step != 0 {
			return Proof{}, fmt.Errorf("record %d is not genuine: step %d of scheme 9.4, reason %02X", n+1, x.verdict.Step, x.verdict.Reason)
		}
	}
	p := Proof{Device: *a.evidence.device, First: first, Second: second}
	switch {
	case *a.evidence.device != *b.evidence.device:
		return Proof{}, errors.New("the records are of two devices")
	case a.hash == b.hash || a.evidence.sameTap(b.evidence):
		return Proof{}, errors.New("the records are of one tap")
	case a.evidence.atc() == b.evidence.atc():
		p.Rule = RuleCounter
		return p, nil
	}
	s, t, ok := a.step(b)
	switch {
	case !ok || s.Epoch != t.Epoch:
		return Proof{}, errors.New("the records are of different counters and of no common allowance")
	case s.Index == t.Index:
		p.Rule = RuleIndex
		return p, nil
	case s.Index+1 == t.Index && !follows(s, t) || t.Index+1 == s.Index && !follows(t, s):
		p.Rule = RuleChain
		return p, nil
	}
	return Proof{}, errors.New("the records do not contradict each other")
}

// proveLog holds a record against the log that the same phone has signed.
func (v *Verifier) proveLog(record, upload []byte, u phone.Upload, signature []byte) (Proof, error) {
	x := v.Examine(record, nil)
	if x.verdict.Step != 0 {
		return Proof{}, fmt.Errorf("the record is not genuine: step %d of scheme 9.4, reason %02X", x.verdict.Step, x.verdict.Reason)
	}
	key, err := x.deviceCert.VerifyKey()
	if err != nil || x.deviceCert.DeviceID != [8]byte(u.Device) || !key.Verify(signature, signedPart(upload)) {
		return Proof{}, errors.New("the upload is not signed by the device of the record")
	}
	s, err := cert.ParseState(x.evidence.answer[tagState])
	if err != nil || s.Epoch != u.Epoch || s.Index == 0 || !denies(u, s.Index, x.evidence.atc(), s.Chain) {
		return Proof{}, errors.New("the upload does not deny the record")
	}
	return Proof{Device: x.deviceCert.DeviceID, Rule: RuleLog, First: record, Second: upload}, nil
}

// step reads the steps of the allowance in two records; false when one has none.
func (x *Examined) step(other *Examined) (a, b ledger.Tap, ok bool) {
	s, err1 := cert.ParseState(x.evidence.answer[tagState])
	t, err2 := cert.ParseState(other.evidence.answer[tagState])
	if err := errors.Join(err1, err2); err != nil {
		return a, b, false
	}
	return x.tap(s), other.tap(t), true
}

// keep stores the record for a later proof.
func (x *Examined) keep(tx *ledger.Tx) error {
	sealed, err := x.verifier.seal(x.hash, x.record)
	if err != nil {
		return err
	}
	if err := tx.PutRecord(x.hash, sealed); err != nil {
		return fmt.Errorf("keep record: %w", err)
	}
	return nil
}

// caught blocks the device: its evidence contradicts itself. The zero hash for
// first says that no single record stands against this one.
func (x *Examined) caught(tx *ledger.Tx, v Verdict, rule string, first [32]byte) (Verdict, error) {
	device := *x.evidence.device
	if err := tx.SetDeviceStatus(device, ledger.DeviceBlocked); err != nil {
		return Verdict{}, fmt.Errorf("block device: %w", err)
	}
	last, err := tx.LastException()
	if err != nil {
		return Verdict{}, fmt.Errorf("find the change of the list: %w", err)
	}
	if last.Blocked && last.Device == device {
		x.blocked = &last
	}
	if err := x.keep(tx); err != nil {
		return Verdict{}, err
	}
	if first == ([32]byte{}) {
		return v, nil
	}
	if err := tx.PutProof(ledger.Proof{Device: device, Rule: rule, First: first, Second: x.hash}, x.at); err != nil {
		return Verdict{}, fmt.Errorf("keep proof: %w", err)
	}
	return v, nil
}

// repeats says whether a record that is kept is of the same tap. Its hash may be
// another although the phone has signed once: of r and s, n-s verifies as well
// (scheme 1.2 E1), and whoever delivers a record could frame the phone with it.
func (x *Examined) repeats(tx *ledger.Tx, kept [32]byte) (bool, error) {
	sealed, err := tx.Record(kept)
	if errors.Is(err, ledger.ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read record %X: %w", kept[:8], err)
	}
	record, err := x.verifier.open(kept, sealed)
	if err != nil {
		return false, err
	}
	other, err := parseRecord(record)
	return err == nil && x.evidence.sameTap(other), nil
}

// Proofs opens the proofs that the ledger keeps.
func (v *Verifier) Proofs(tx *ledger.Tx) ([]Proof, error) {
	list, err := tx.Proofs()
	if err != nil {
		return nil, fmt.Errorf("list proofs: %w", err)
	}
	var all []Proof
	for _, l := range list {
		p := Proof{Device: l.Device, Rule: l.Rule}
		for _, side := range [...]struct {
			hash   [32]byte
			record *[]byte
		}{{l.First, &p.First}, {l.Second, &p.Second}} {
			sealed, err := tx.Record(side.hash)
			if err != nil {
				return nil, fmt.Errorf("read record %X: %w", side.hash[:8], err)
			}
			if *side.record, err = v.open(side.hash, sealed); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	return all, nil
}

// seal encrypts a record for the ledger (scheme 9.2): version of the master key,
// nonce, AES-256-GCM with the evidence hash as its name.
func (v *Verifier) seal(evidence [32]byte, record []byte) ([]byte, error) {
	aead, err := v.recordCipher(v.newest)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(record)+aead.Overhead())
	out[0] = v.newest
	rand.Read(out[1:]) // never fails (crypto/rand)
	return aead.Seal(out, out[1:], record, evidence[:]), nil
}

func (v *Verifier) open(evidence [32]byte, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, fmt.Errorf("record %X: damaged", evidence[:8])
	}
	aead, err := v.recordCipher(sealed[0])
	if err != nil {
		return nil, err
	}
	if len(sealed) < 1+aead.NonceSize() {
		return nil, fmt.Errorf("record %X: damaged", evidence[:8])
	}
	record, err := aead.Open(nil, sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():], evidence[:])
	if err != nil {
		return nil, fmt.Errorf("record %X: damaged, or sealed with another wallet's keys", evidence[:8])
	}
	return record, nil
}

func (v *Verifier) recordCipher(kvn byte) (cipher.AEAD, error) {
	aead, known := v.sealing[kvn]
	if !known {
		return nil, fmt.Errorf("records are sealed with issuer master key %02X, which this wallet does not have", kvn)
	}
	return aead, nil
}

// recordAEAD derives the cipher of records from an issuer master key: the one
// secret that every worker has and no database sees.
func recordAEAD(imk channel.Key) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, imk.Bytes(), nil, recordKeyUse, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
