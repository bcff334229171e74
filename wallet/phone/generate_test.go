package phone

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
)

func TestFailingStoreCommitsNothing(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	u.store.fail = errDiskFull
	s := sale{asked: tc, txid: 1, amount: 5000}
	if sw := s.open(t, u.Wallet, p.ADF); sw != apdu.OK {
		t.Fatalf("GPO: %v", sw)
	}
	if r := s.generate(t, u.Wallet); r.SW != apdu.NotSatisfied || len(r.Data) != 0 {
		t.Fatalf("GENERATE AC with a full disk: %v, %d bytes", r.SW, len(r.Data))
	}
	if got := u.State().Cards[0]; got.ATC != 0 || got.Spent != 0 || len(got.Answers) != 0 || len(got.Taps) != 0 {
		t.Fatalf("state moved although nothing was saved: %+v", got)
	}
	u.store.fail = nil
	if a := s.pay(t, u.Wallet, p.ADF); a.cid() != tc || a.atc() != 1 {
		t.Fatalf("next tap: CID %02X, ATC %d", a.cid(), a.atc())
	}
}

// TestSavedBeforeAnswer looks into what the store got: everything that the
// answer reveals must be in it already.
func TestSavedBeforeAnswer(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	s := sale{asked: tc, txid: 1, amount: 5000}
	a := s.pay(t, u.Wallet, p.ADF)
	if len(u.store.saved) != 1 {
		t.Fatalf("%d saves for one tap", len(u.store.saved))
	}
	got := u.store.saved[0].Cards[0]
	if got.ATC != 1 || got.Index != 1 || got.Spent != 5000 || len(got.Answers) != 1 || !bytes.Equal(got.Answers[0].Body, a.raw) {
		t.Fatalf("saved: %+v", got)
	}
	if len(got.Taps) != 1 || got.Taps[0].Amount != 5000 || got.Taps[0].ATC != 1 || got.Taps[0].Epoch != 3 ||
		string(got.Taps[0].Terminal) != "TERM0001" || !bytes.Equal(got.Taps[0].Chain, got.Chain) {
		t.Fatalf("tap log: %+v", got.Taps)
	}
}

func TestOneTransactionIsDebitedOnce(t *testing.T) {
	p := testProfile(1)
	for _, first := range []byte{tc, arqc} {
		u := newPhone(t, p)
		if a := (sale{asked: first, txid: 1, amount: 5000}).pay(t, u.Wallet, p.ADF); a.cid() != first {
			t.Fatalf("first tap: CID %02X", a.cid())
		}
		again := sale{asked: tc, txid: 1, amount: 5000, values: map[tlv.Tag]string{tag9F37: "AABBCCDD"}}
		a := again.pay(t, u.Wallet, p.ADF)
		if a.cid() != aac || a.reason() != reasonDuplicate || a.atc() != 2 {
			t.Errorf("after %02X: CID %02X, reason %02X, ATC %d", first, a.cid(), a.reason(), a.atc())
		}
	}
	u := newPhone(t, p) // an AAC is no debit
	(sale{asked: aac, txid: 1, amount: 5000}).pay(t, u.Wallet, p.ADF)
	if a := (sale{asked: tc, txid: 1, amount: 5000}).pay(t, u.Wallet, p.ADF); a.cid() != tc {
		t.Errorf("after an AAC: CID %02X, reason %02X", a.cid(), a.reason())
	}
}

// TestPreconditions is the first table of scheme 7.4; each refusal must leave
// no trace.
func TestPreconditions(t *testing.T) {
	good := sale{asked: tc, txid: 1, amount: 5000}
	change := func(tag tlv.Tag, v string) sale {
		s := good
		s.values = map[tlv.Tag]string{tag: v}
		return s
	}
	raw := func(f func(data []byte) apdu.Command) apdu.Command { return f(good.fill(testCDOL1, nil)) }
	full := apdu.GenerateAC(tc, good.fill(testCDOL1, nil))
	tests := []struct {
		row  string
		noGP bool
		send apdu.Command
		want apdu.SW
	}{
		{row: "a", noGP: true, send: full, want: apdu.NotSatisfied},
		{row: "b", send: raw(func(d []byte) apdu.Command { return apdu.GenerateAC(0xC0, d) }), want: apdu.WrongParameters},
		{row: "c short", send: raw(func(d []byte) apdu.Command { return apdu.GenerateAC(tc, d[:len(d)-1]) }), want: apdu.WrongLength},
		{row: "c long", send: raw(func(d []byte) apdu.Command { return apdu.GenerateAC(tc, append(d, 0)) }), want: apdu.WrongLength},
	}
	for tag, v := range map[tlv.Tag]string{tag9F37: "FFFFFFFF", tag9F02: "000000005001", tag5F2A: "0840", tag9F1A: "0840",
		tag9C: "20", tagDF8B26: "7000", tagDF8B23: "0000000000000000000000000001"} {
		s := change(tag, v)
		tests = append(tests, struct {
			row  string
			noGP bool
			send apdu.Command
			want apdu.SW
		}{row: "d " + tag.String(), send: apdu.GenerateAC(tc, s.fill(testCDOL1, nil)), want: apdu.NotSatisfied})
	}
	for _, test := range tests {
		t.Run(test.row, func(t *testing.T) {
			p := testProfile(1)
			u := newPhone(t, p)
			u.PowerOn()
			send(t, u.Wallet, apdu.Select(p.ADF, false))
			if !test.noGP {
				good.open(t, u.Wallet, p.ADF)
			}
			if r := send(t, u.Wallet, test.send); r.SW != test.want {
				t.Errorf("%v, want %v", r.SW, test.want)
			}
			if len(u.store.saved) != 0 {
				t.Error("a refusal was committed")
			}
			if !test.noGP { // the activation is still good
				if r := good.generate(t, u.Wallet); r.SW != apdu.OK {
					t.Errorf("afterwards: %v", r.SW)
				}
				if r := good.generate(t, u.Wallet); r.SW != apdu.NotSatisfied {
					t.Errorf("row a, second GENERATE AC: %v", r.SW)
				}
			}
		})
	}
}

func TestATCDoesNotWrap(t *testing.T) {
	p := testProfile(1)
	store := &memory{}
	for _, test := range []struct {
		atc  uint16
		want apdu.SW
	}{{0xFFFE, apdu.OK}, {0xFFFF, apdu.NotSatisfied}} {
		state := State{Cards: []CardState{{ADF: p.ADF, ATC: test.atc, Chain: make(Hex, 16)}}}
		w, err := New([]Profile{p}, state, Options{Store: store, Random: newStream(1)})
		if err != nil {
			t.Fatal(err)
		}
		s := sale{asked: aac, txid: 1, amount: 1}
		s.open(t, w, p.ADF)
		if r := s.generate(t, w); r.SW != test.want {
			t.Errorf("ATC %X: %v, want %v", test.atc, r.SW, test.want)
		}
	}
}

// TestDecisions covers the rows of the decision table that honest dialogues may
// leave out; those have the rest.
func TestDecisions(t *testing.T) {
	reference := "" // DF8B0A of this account and merchant
	{
		p := testProfile(1)
		u := newPhone(t, p)
		a := (sale{asked: aac, txid: 9, amount: 1}).pay(t, u.Wallet, p.ADF)
		reference = fmt.Sprintf("%X", a.objects[tagDF8B0A])
	}
	v := func(kv ...any) map[tlv.Tag]string {
		m := map[tlv.Tag]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(tlv.Tag)] = kv[i+1].(string)
		}
		return m
	}
	tests := []struct {
		name   string
		asked  byte
		amount uint64
		values map[tlv.Tag]string
		cid    byte
		reason byte
	}{
		{"plain", tc, 20000, nil, tc, 0},
		{"AAC asked", aac, 100, nil, aac, 0},
		{"ARQC asked", arqc, 100, nil, arqc, 0},
		{"last valid day", tc, 100, v(tag9A, "281231"), aac, reasonNoGrant},
		{"expired", tc, 100, v(tag9A, "290101"), aac, reasonExpired},
		{"refund to this account", tc, 100, v(tag9C, "20", tagDF8B24, reference), arqc, 0},
		{"refund to another account", arqc, 100, v(tag9C, "20", tagDF8B24, "01020304050607080102030405060708"), aac, reasonOther},
		{"refund without reference", arqc, 100, v(tag9C, "20"), arqc, 0},
		{"other type", tc, 100, v(tag9C, "09"), aac, reasonKind},
		{"currency", tc, 100, v(tag5F2A, "0840"), aac, reasonCurrency},
		{"grant minute before", tc, 100, v(tag9A, "261031", tag9F21, "235959"), aac, reasonNoGrant},
		{"grant first minute", tc, 100, v(tag9A, "261101", tag9F21, "000000"), tc, 0},
		{"grant last minute", tc, 100, v(tag9A, "261201", tag9F21, "235959"), tc, 0},
		{"per tap", tc, 20001, nil, aac, reasonPerTap},
		{"per tap, connected", tc, 20001, v(tagDF8B26, "7000"), arqc, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := testProfile(1)
			u := newPhone(t, p)
			a := (sale{test.asked, 1, test.amount, test.values}).pay(t, u.Wallet, p.ADF)
			if a.cid() != test.cid || a.reason() != test.reason {
				t.Errorf("CID %02X reason %02X, want %02X %02X", a.cid(), a.reason(), test.cid, test.reason)
			}
			if _, has := a.objects[tagDF8B10]; has != (test.cid == tc) {
				t.Error("DF8B10 must stand with a TC and nowhere else")
			}
		})
	}
}

func TestAllowanceRunsOut(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	for i := range byte(5) {
		a := (sale{asked: tc, txid: i, amount: 20000}).pay(t, u.Wallet, p.ADF)
		s, err := cert.ParseState(a.objects[tagDF8B10])
		if err != nil {
			t.Fatal(err)
		}
		if spent, rest, _ := s.Sums(); spent != 20000*uint64(i+1) || spent+rest != 100000 || s.Index != uint16(i)+1 {
			t.Fatalf("tap %d: spent %d, remaining %d, index %d", i, spent, rest, s.Index)
		}
	}
	if a := (sale{asked: tc, txid: 9, amount: 1}).pay(t, u.Wallet, p.ADF); a.cid() != aac || a.reason() != reasonSpent {
		t.Errorf("CID %02X reason %02X", a.cid(), a.reason())
	}
}

// TestAnswersAreKept holds the cache to both of its bounds (scheme 7.4).
func TestAnswersAreKept(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	tap := func(txid byte) { (sale{asked: arqc, txid: txid, amount: 1}).pay(t, u.Wallet, p.ADF) }
	kept := func() (ids []byte) {
		for _, a := range u.State().Cards[0].Answers {
			ids = append(ids, a.Transaction[15])
		}
		return ids
	}
	for i := range byte(10) {
		tap(i)
	}
	u.clock.at = noon.Add(24 * time.Hour)
	tap(10)
	if got := kept(); len(got) != 11 {
		t.Errorf("after exactly 24 h: %v kept, want all", got)
	}
	u.clock.at = u.clock.at.Add(time.Second)
	tap(11)
	if got := kept(); !bytes.Equal(got, []byte{4, 5, 6, 7, 8, 9, 10, 11}) {
		t.Errorf("after more than 24 h: %v kept, want the last 8", got)
	}
	send(t, u.Wallet, apdu.Select(p.ADF, false))
	for txid, want := range map[byte]apdu.SW{3: apdu.ReferenceMissing, 4: apdu.OK, 11: apdu.OK} {
		if r := send(t, u.Wallet, sale{txid: txid}.recover()); r.SW != want {
			t.Errorf("RECOVER %d: %v, want %v", txid, r.SW, want)
		}
	}
}

func TestFullCacheRefusesInsteadOfForgetting(t *testing.T) {
	p := testProfile(1)
	answers := make([]Answer, maxAnswers)
	for i := range answers {
		answers[i].At = noon
	}
	state := State{Cards: []CardState{{ADF: p.ADF, Chain: make(Hex, 16), Answers: answers}}}
	u := phoneUnderTest{store: &memory{}, clock: &clock{noon}}
	w, err := New([]Profile{p}, state, Options{Store: u.store, Random: newStream(1), Now: u.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	s := sale{asked: tc, txid: 1, amount: 1}
	s.open(t, w, p.ADF)
	if r := s.generate(t, w); r.SW != apdu.NotSatisfied || len(u.store.saved) != 0 {
		t.Errorf("full cache: %v, %d saves", r.SW, len(u.store.saved))
	}
	u.clock.at = noon.Add(25 * time.Hour)
	if a := s.pay(t, w, p.ADF); a.cid() != tc {
		t.Errorf("a day later: CID %02X", a.cid())
	}
}
