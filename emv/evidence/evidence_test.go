package evidence

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"tapkeeper/emv"
	"tapkeeper/emv/emvtest"
)

func caKeys(keys []emvtest.CAKey) []CAKey {
	out := []CAKey{}
	for _, k := range keys {
		out = append(out, CAKey{[5]byte(k.RID), k.Index, [33]byte(k.Key)})
	}
	return out
}

func backend(t *testing.T) *emvtest.Backend {
	t.Helper()
	b, err := emvtest.LoadBackend()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Cases) == 0 {
		t.Fatal("no backend cases")
	}
	return b
}

func result(r *Report, name string) Result { return r.Result(name) }

// failing is the first check that failed.
func failing(r *Report) string {
	for _, c := range r.Checks {
		if c.Result == Fail {
			return c.Name
		}
	}
	return ""
}

// TestBackendVectors: steps 1 to 5 of scheme 9.4 need no memory and no master
// key; what they say of each record, the report says too.
func TestBackendVectors(t *testing.T) {
	steps := map[int]string{1: CheckLayout, 2: CheckCertificates, 3: CheckStatic, 4: CheckSignature, 5: CheckData}
	b := backend(t)
	judged := map[string]int{}
	for _, c := range b.Cases {
		keys := b.CAKeys
		if c.CAKeys != nil {
			keys = c.CAKeys
		}
		r := Examine(c.Record, caKeys(keys))
		want := steps[c.Verdict.Step] // "" for later steps: all five passed
		judged[want]++
		if want == "" {
			for _, name := range steps {
				if result(r, name) != Pass {
					t.Errorf("%s: %s is %q, the vectors say that steps 1 to 5 pass: %v", c.About, name, result(r, name), r.Checks)
				}
			}
		} else if result(r, want) != Fail {
			t.Errorf("%s: %s is %q, the vectors fail step %d: %v", c.About, want, result(r, want), c.Verdict.Step, r.Checks)
		}
	}
	t.Logf("%d cases: passing steps 1 to 5 %d, failing %v", len(b.Cases), judged[""], judged)
}

// profileTAC are the scheme's two profiles, as the dialogues write them.
func ownProfile(d *emvtest.Dialogue) bool {
	p := profileOf(d.Terminal.OfflineOnly)
	for _, a := range d.Terminal.AIDs {
		if !bytes.Equal(a.TACDenial, p.denial[:]) || !bytes.Equal(a.TACOnline, p.online[:]) || !bytes.Equal(a.TACDefault, p.fallback[:]) {
			return false
		}
	}
	return true
}

// TestDialogueDecisions: every record that the independent terminal wrote
// follows from itself. Where its decision is under other action codes, the
// report must not claim more than the scheme's profiles.
func TestDialogueDecisions(t *testing.T) {
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, d := range dialogues {
		own := ownProfile(&d)
		for _, s := range d.Sales {
			for _, tap := range s.Taps {
				record := []byte(tap.Outcome.Record)
				if len(record) == 0 {
					continue
				}
				r := Examine(record, caKeys(d.Terminal.CAKeys))
				decision := result(r, CheckDecision)
				count["all"]++
				count[string(decision)]++
				if own && decision == Fail {
					t.Errorf("%s: %v", d.ID, r.Checks)
				}
				if decision == Fail {
					count["other action codes"]++
				}
			}
		}
	}
	if count["all"] < 50 {
		t.Fatalf("only %d records", count["all"])
	}
	t.Logf("records: %v", count)
}

// approved is a record that passes everything.
func approved(t *testing.T) ([]byte, []CAKey) {
	t.Helper()
	b := backend(t)
	for _, c := range b.Cases {
		if r := Examine(c.Record, caKeys(b.CAKeys)); c.Verdict.OK && r.OK() && r.Signed.Kind == kindApproved {
			return c.Record, caKeys(b.CAKeys)
		}
	}
	t.Fatal("no good record")
	return nil, nil
}

// TestEveryByte: no byte of a record can change unnoticed, with three
// exceptions that the journal's chain covers.
func TestEveryByte(t *testing.T) {
	record, keys := approved(t)
	var unnoticed []int
	named := map[string]int{}
	for i := range record {
		for _, bit := range []byte{0x01, 0x80} {
			altered := bytes.Clone(record)
			altered[i] ^= bit
			if r := Examine(altered, keys); r.OK() {
				unnoticed = append(unnoticed, i)
			} else {
				named[failing(r)]++
			}
		}
	}
	// TSI B2b8, "came by recovery", is the terminal's word alone.
	tsi := bytes.LastIndex(record, []byte{0x9B, 0x02})
	unnoticed = slices.DeleteFunc(unnoticed, func(i int) bool { return i == tsi+3 })
	if len(unnoticed) > 0 {
		t.Errorf("changed without notice: bytes %v of %d", unnoticed, len(record))
	}
	for _, name := range []string{CheckLayout, CheckCertificates, CheckStatic, CheckSignature, CheckData, CheckDecision} {
		if named[name] == 0 {
			t.Errorf("%s noticed no byte", name)
		}
	}
	t.Logf("%d bytes, noticed by %v", len(record), named)
}

func TestCutAndLonger(t *testing.T) {
	record, keys := approved(t)
	for n := range record {
		if r := Examine(record[:n], keys); r.OK() || r.Signed != nil {
			t.Fatalf("%d of %d bytes passed", n, len(record))
		}
	}
	if Examine(append(bytes.Clone(record), 0), keys).OK() || Examine(make([]byte, maxRecord+1), keys).OK() {
		t.Error("trailing bytes passed")
	}
}

func TestOtherCA(t *testing.T) {
	record, keys := approved(t)
	swapped := slices.Clone(keys)
	swapped[0].Public, swapped[1].Public = swapped[1].Public, swapped[0].Public
	for what, k := range map[string][]CAKey{"another key under the index": swapped, "another index": keys[1:], "no point": {{keys[0].RID, keys[0].Index, [33]byte{2}}}} {
		r := Examine(record, k)
		if failing(r) != CheckCertificates || result(r, CheckSignature) != NotChecked {
			t.Errorf("%s: %v", what, r.Checks)
		}
	}
	r := Examine(record, nil)
	if !r.OK() || result(r, CheckCertificates) != NotChecked || result(r, CheckSignature) != NotChecked || result(r, CheckDecision) != Pass {
		t.Errorf("without keys: %v", r.Checks)
	}
}

func TestText(t *testing.T) {
	record, keys := approved(t)
	s := Examine(record, keys).Signed
	en, zh := s.Text(emv.English), s.Text(emv.Chinese)
	for _, want := range []string{"TERM0001", "10.00", "2026-11-23 12:00:00"} {
		if !strings.Contains(en, want) || !strings.Contains(zh, want) {
			t.Errorf("no %s in %q or %q", want, en, zh)
		}
	}
}

func FuzzExamine(f *testing.F) {
	b, err := emvtest.LoadBackend()
	if err != nil {
		f.Fatal(err)
	}
	keys := caKeys(b.CAKeys)
	for _, c := range b.Cases {
		f.Add([]byte(c.Record))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		r := Examine(record, keys)
		if len(r.Checks) == 0 || (r.Signed == nil) != (result(r, CheckLayout) == Fail) {
			t.Errorf("checks %v, signed %v", r.Checks, r.Signed)
		}
	})
}
