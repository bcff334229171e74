package emv

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
)

// recordSeeds are the contents of the vectors' records.
func recordSeeds(tb testing.TB) (all [][]byte) {
	tb.Helper()
	list := dialogues(tb)
	for i := 0; i < len(list); i += 5 {
		for _, c := range list[i].Phone.Cards {
			for _, r := range c.Records {
				all = append(all, r.Content)
			}
		}
	}
	return all
}

// FuzzRecord asserts what a record's answer may do to an application, plain and
// encrypted by a phone that shares the session: what is taken was known, from a
// record and once; what is signed is kept as it was sent; an error keeps nothing
// for the hash and shows no bytes.
func FuzzRecord(f *testing.F) {
	for _, b := range recordSeeds(f) {
		f.Add(b, true, true)
		f.Add(b, true, false)
		f.Add(tlv.Append(nil, 0x70, b), false, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, encrypted, signed bool) {
		if len(b) > maxAnswer {
			return
		}
		app := recordStage(t)
		answer := b
		if encrypted {
			answer = tlv.Append(nil, 0xDA, channel.CTR(app.channel.get().SKc, app.counter, b))
		}
		err := app.record(aflRecord{sfi: 1, number: 1, signed: signed}, answer)
		if err != nil {
			if len(app.signed) != 0 || emvtest.Leaks(err.Error(), b) {
				t.Fatalf("something kept beside an error, or bytes in it: %v", err)
			}
			return
		}
		contents := b
		if !encrypted {
			root, err := tlv.ParseOne(b)
			if err != nil || root.Tag != 0x70 && root.Tag != 0xDA {
				t.Fatalf("%X was taken for a record", b)
			}
			contents = root.Value
			if root.Tag == 0xDA {
				contents = channel.CTR(app.channel.get().SKc, channel.FirstCounter+1, root.Value)
			}
		}
		if signed && !bytes.Equal(app.signed, contents) || !signed && app.signed != nil {
			t.Fatalf("signed is %X of %X", app.signed, contents)
		}
		for i, o := range app.objects {
			e, known := dict.FromPhone(o.Tag)
			if !known || e.Source != dict.FromRecord || !e.Fits(o.Value) || e.Signed && !signed || !bytes.Contains(contents, o.Raw) ||
				slices.ContainsFunc(app.objects[:i], func(n tlv.Node) bool { return n.Tag == o.Tag }) {
				t.Fatalf("object %v was taken", o.Tag)
			}
		}
	})
}

// recordStage is an application with a session whose keys do not matter.
func recordStage(t testing.TB) *application {
	t.Helper()
	app := &application{counter: channel.FirstCounter + 1}
	app.channel.memo = memo[secrets]{done: true, value: secrets{Session: channel.DeriveSession(channel.NewSecret(make([]byte, 32)))}}
	return app
}

// answerSeeds are the GENERATE AC answers of the vectors.
func answerSeeds(tb testing.TB) (all [][]byte) {
	tb.Helper()
	for _, d := range dialogues(tb) {
		for _, s := range d.Sales {
			for _, tap := range s.Taps {
				for _, step := range tap.Steps {
					if n := len(step.RAPDU) - 2; n > 0 && (step.CAPDU[1] == 0xAE || step.CAPDU[1] == 0xD0) {
						all = append(all, step.RAPDU[:n])
					}
				}
			}
		}
	}
	return all
}

// FuzzAnswer gives a tap that waits for the answer to GENERATE AC any answer,
// as it is and signed again by the phone itself. Without its keys nothing but
// the recorded answer is authentic; with them nothing but a coherent TC is
// approved, and every record holds the answer as it was sent.
func FuzzAnswer(f *testing.F) {
	d := one(f, "an offline approval", func(d emvtest.Dialogue) bool {
		return approved(d) && !d.Terminal.Connected && len(d.Phone.Cards) == 1
	})
	steps := d.Sales[0].Taps[0].Steps
	last := steps[len(steps)-1].RAPDU
	recorded, err := tlv.ParseOne(last[:len(last)-2])
	if err != nil {
		f.Fatal(err)
	}
	for i, b := range answerSeeds(f) {
		f.Add(b, i%2 == 0)
	}
	f.Add([]byte(last[:len(last)-2]), false)
	f.Add([]byte(last[:len(last)-2]), true)
	attempt, _, step, _ := halfway(f, newStage(d), d, storing)
	stored, err := step.Store.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, resign bool) {
		if len(b) > maxAnswer {
			return
		}
		loaded, err := LoadPending(stored)
		if err != nil {
			t.Fatal(err)
		}
		p := loaded.in()
		if resign {
			b = resigned(t, p, d.Phone.Cards[0], b)
		}
		o, failed := attempt.in().judge(p, b, false)
		if emvtest.Leaks(o.Detail, b) || emvtest.Leaks(o.Detail, p.SKi) {
			t.Fatalf("bytes in %q", o.Detail)
		}
		if failed != nil && (o.Result != End || o.Seen != nil) {
			t.Fatalf("steps 1 to 3 failed: %v", o.Result)
		}
		if failed == nil && !resign && !sameButEvidence(b, recorded) {
			t.Fatalf("%X passes for the phone's", b)
		}
		if o.Result == Approved {
			root, err := tlv.ParseOne(b)
			if err != nil || o.CID != askTC || o.TVR.hits(p.TACDenial) || o.TVR.hits(p.TACDefault) || o.RecordKind != RecordOffline ||
				o.Seen == nil || !resign && !bytes.Equal(channel.R1(root.Kids), channel.R1(recorded.Kids)) {
				t.Fatalf("%X is approved: %+v", b, o)
			}
		}
		recordHolds(t, o, b)
	})
}

// sameButEvidence compares with the recorded answer what the MACs cover: whether
// the evidence is good is a bit of the TVR.
func sameButEvidence(b []byte, recorded tlv.Node) bool {
	root, err := tlv.ParseOne(b)
	if err != nil || !bytes.Equal(channel.R0(root.Kids), channel.R0(recorded.Kids)) {
		return false
	}
	got, want := objects(root.Kids), objects(recorded.Kids)
	return bytes.Equal(got.value(0x9F26), want.value(0x9F26)) && bytes.Equal(got.value(0x9F8105), want.value(0x9F8105))
}

// recordHolds asserts that an outcome's record is one object of minimal lengths
// that holds the answer, in a kind that fits the result.
func recordHolds(t *testing.T, o Outcome, answer []byte) {
	t.Helper()
	if (o.RecordKind == RecordNone) != (o.Record.Len() == 0) {
		t.Fatalf("kind %d with a record of %d bytes", o.RecordKind, o.Record.Len())
	}
	if o.RecordKind == RecordNone {
		return
	}
	outer, err := tlv.ParseFlat(o.Record.Bytes())
	if err != nil || len(outer) != 1 || outer[0].Tag != 0xBF8B01 {
		t.Fatalf("the record is not one object: %v", err)
	}
	parts, err := tlv.ParseFlat(outer[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	var again []byte
	held := false
	for _, n := range parts {
		again = tlv.Append(again, n.Tag, n.Value)
		held = held || n.Tag == 0xDF8B34 && bytes.Equal(n.Value, answer)
	}
	if !held || !bytes.Equal(tlv.Append(nil, 0xBF8B01, again), o.Record.Bytes()) {
		t.Fatalf("the record does not hold the answer, or not minimally")
	}
}

// resigned replaces MACs and evidence by those that the phone's own keys make.
func resigned(t testing.TB, p *pending, card emvtest.Card, b []byte) []byte {
	t.Helper()
	root, err := tlv.ParseOne(bytes.Clone(b))
	if err != nil || root.Tag != 0x77 {
		return b
	}
	part := func(tag tlv.Tag, size int) []byte {
		for _, n := range root.Kids {
			if n.Tag == tag && len(n.Value) == size {
				return n.Value
			}
		}
		return nil
	}
	iad, ac, eda, evidence := part(0x9F10, 18), part(0x9F26, 8), part(0x9F8105, 8), part(0x9F4B, 65)
	if iad == nil || ac == nil || eda == nil || evidence == nil {
		return b
	}
	ski, err := channel.NewKey(p.SKi)
	if err != nil {
		t.Fatal(err)
	}
	ds, err := channel.NewSignKey(card.DS)
	if err != nil {
		t.Fatal(err)
	}
	mac := channel.IADMAC(ski, p.PDOLData, p.CDOL1Data, channel.R0Zeroed(root.Kids), p.SDH)
	copy(iad[10:], mac[:])
	second := channel.EDAMAC(ski, [8]byte(ac), mac)
	copy(eda, second[:])
	signature, err := channel.SignEvidence(ds, p.SDH, p.PDOLData, p.CDOL1Data, channel.R1(root.Kids))
	if err != nil {
		t.Fatal(err)
	}
	copy(evidence, signature)
	return root.Raw
}

// pendingSeeds are pending records of dialogues.
func pendingSeeds(tb testing.TB) (all [][]byte) {
	tb.Helper()
	for _, d := range dialogues(tb) {
		if len(all) == 12 || !approved(d) {
			continue
		}
		_, _, step, _ := halfway(tb, newStage(d), d, storing)
		b, err := step.Store.Marshal()
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// FuzzPending asserts that what is read from the store is written again to what
// reads the same, and that an error tells nothing of it.
func FuzzPending(f *testing.F) {
	for _, b := range pendingSeeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := LoadPending(b)
		if err != nil {
			if p != nil || emvtest.Leaks(err.Error(), b) || !strings.HasPrefix(err.Error(), "read pending record: ") {
				t.Fatalf("a record beside an error, or bytes in it: %v", err)
			}
			return
		}
		once, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		q, err := LoadPending(once)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := q.Marshal()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("a pending record changes in the store: %v", err)
		}
		p.DeviceID()
	})
}

// TestAllocation: whatever an answer is, judging it costs memory in proportion
// to its size, and no more than a good one costs for the rest.
func TestAllocation(t *testing.T) {
	d := one(t, "an approval", approved)
	attempt, _, step, _ := halfway(t, newStage(d), d, storing)
	p := step.Store.in()
	long := bytes.Repeat([]byte{0xC1, 0x00}, maxAnswer/2-2)
	for _, b := range append(answerSeeds(t), tlv.Append(nil, 0x77, long), tlv.Append(nil, 0x70, tlv.Append(nil, 0x70, long))) {
		if n := emvtest.Allocated(func() { attempt.in().judge(p, b, false) }); n > uint64(256*len(b)+16<<10) {
			t.Errorf("an answer of %d bytes costs %d", len(b), n)
		}
	}
	for _, b := range append(recordSeeds(t), long) {
		b = tlv.Append(nil, 0x70, b)
		if n := emvtest.Allocated(func() { recordStage(t).record(aflRecord{signed: true}, b) }); n > uint64(256*len(b)+8<<10) {
			t.Errorf("a record of %d bytes costs %d", len(b), n)
		}
	}
}

// TestCorpus: a fuzz target without seeds would pass on nothing, and what fuzzing
// found worth keeping is in the tree.
func TestCorpus(t *testing.T) {
	for name, c := range map[string]struct{ n, least int }{
		"FuzzRecord": {len(recordSeeds(t)), 100}, "FuzzAnswer": {len(answerSeeds(t)), 100},
		"FuzzPending": {len(pendingSeeds(t)), 2}, "FuzzKernel": {len(kernelSeeds(t)), 50},
	} {
		if c.n < c.least {
			t.Errorf("%d seeds for %s", c.n, name)
		}
	}
	for _, name := range []string{"FuzzRecord", "FuzzAnswer", "FuzzPending", "FuzzKernel"} {
		if n := emvtest.Kept(t, name); n == 0 {
			t.Errorf("nothing kept for %s", name)
		}
	}
}
