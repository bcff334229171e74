package backend

import (
	"bytes"
	"errors"
	"testing"

	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/ledger"
)

// unsigned are the parts of a record that no signature covers (scheme 9.1): the
// terminal's own findings, and the kind as far as it fits the CID.
var unsigned = map[tlv.Tag]bool{tagKind: true, tagReason: true, tagTVR: true, tagTSI: true, tagCVMResults: true}

// Every byte of a genuine record is changed once. Whatever is still accepted
// must lie in an unsigned part.
func TestEveryByteCounts(t *testing.T) {
	b, err := emvtest.LoadBackend()
	if err != nil {
		t.Fatal(err)
	}
	good := []byte(b.Cases[0].Record)
	if !b.Cases[0].Verdict.OK {
		t.Fatal("the first case is not a genuine record")
	}
	free := make([]bool, len(good))
	outer, err := tlv.ParseFlat(good)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := tlv.ParseFlat(outer[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	at := len(good) - len(outer[0].Value)
	for _, p := range parts {
		for i := range p.Value {
			free[at+len(p.Raw)-len(p.Value)+i] = unsigned[p.Tag]
		}
		at += len(p.Raw)
	}
	j := newJudge(t, b.CAKeys, b.IMK, b.Devices)
	keepNothing := errors.New("keep nothing")
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1 << (i % 8)
		var v Verdict
		err := j.ledger.Update(t.Context(), func(tx *ledger.Tx) (err error) {
			if v, err = j.verifier.Examine(changed, nil).Judge(tx); err != nil {
				return err
			}
			return keepNothing
		})
		if !errors.Is(err, keepNothing) {
			t.Fatal(err)
		}
		if v.OK && !free[i] {
			t.Errorf("byte %d may be changed", i)
		}
	}
}

// Any bytes end in a verdict (architecture, I14), and what has no evidence is never genuine.
func FuzzExamine(f *testing.F) {
	b, err := emvtest.LoadBackend()
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range b.Cases {
		f.Add([]byte(c.Record))
	}
	v, err := NewVerifier(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		x := v.Examine(record, &Uploader{now: noon, purchase: true})
		if x.verdict.Step != 1 && x.verdict.Step != 2 || x.cryptograms { // without CA keys step 2 never passes
			t.Errorf("step %d", x.verdict.Step)
		}
	})
}
