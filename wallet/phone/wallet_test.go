package phone

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
)

// directoryEntry is a 61 of the PPSE answer.
type directoryEntry struct {
	adf      string
	priority byte
}

func directory(t *testing.T, w *Wallet) (entries []directoryEntry, sw apdu.SW) {
	t.Helper()
	r := send(t, w, apdu.Select([]byte(apdu.PPSE), false))
	if r.SW != apdu.OK {
		return nil, r.SW
	}
	root, err := tlv.ParseOne(r.Data)
	if err != nil {
		t.Fatal(err)
	}
	tlv.Walk([]tlv.Node{root}, func(n tlv.Node, _ int) bool {
		if n.Tag == tag61 {
			entries = append(entries, directoryEntry{string(n.Kids[0].Value), n.Kids[2].Value[0]})
		}
		return true
	})
	return entries, r.SW
}

func TestPreferredCardComesFirst(t *testing.T) {
	a, b := testProfile(1), testProfile(2)
	u := newPhone(t, a, b)
	if err := u.Prefer(b.ADF); err != nil {
		t.Fatal(err)
	}
	if err := u.Prefer(testProfile(7).ADF); !errors.Is(err, ErrNoCard) {
		t.Fatalf("unknown card: %v", err)
	}
	got, _ := directory(t, u.Wallet)
	want := []directoryEntry{{string(b.ADF), 1}, {string(a.ADF), 2}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
	if last := u.store.saved[len(u.store.saved)-1]; !bytes.Equal(last.Preferred, b.ADF) {
		t.Error("the choice was not saved")
	}
}

func TestFullWalletFitsOneAnswer(t *testing.T) {
	var cards []Profile
	for i := range byte(maxCards) {
		p := testProfile(i + 1)
		p.ADF = append(p.ADF, make([]byte, maxADF-len(p.ADF))...)
		p.Label = "SIXTEEN LETTERS!"
		cards = append(cards, p)
	}
	u := newPhone(t, cards...)
	if got, sw := directory(t, u.Wallet); len(got) != maxCards {
		t.Errorf("%d entries, %v", len(got), sw)
	}
	if n := len(u.Transmit(apdu.Select([]byte(apdu.PPSE), false).Bytes())); n > 258 {
		t.Errorf("answer of %d bytes needs GET RESPONSE", n)
	}
	if _, err := New(append(cards, testProfile(9)), State{}, Options{Store: &memory{}}); err == nil {
		t.Error("one card too many was taken")
	}
}

func TestNextOccurrence(t *testing.T) {
	a, b := testProfile(1), testProfile(2)
	u := newPhone(t, a, b)
	aid := a.ADF[:7]
	if r := send(t, u.Wallet, apdu.Select(aid, true)); r.SW != apdu.FileNotFound {
		t.Errorf("next before first: %v", r.SW)
	}
	for i, want := range []apdu.SW{apdu.OK, apdu.OK, apdu.FileNotFound} {
		r := send(t, u.Wallet, apdu.Select(aid, i > 0))
		if r.SW != want {
			t.Fatalf("occurrence %d: %v, want %v", i, r.SW, want)
		}
		if adf := []Hex{a.ADF, b.ADF, nil}[i]; adf != nil && !bytes.Contains(r.Data, adf) {
			t.Errorf("occurrence %d is not %X", i, []byte(adf))
		}
	}
	for _, name := range [][]byte{{0xF0, 0x54, 0x41, 0x50}, append(bytes.Clone(a.ADF), 0), {}} {
		if r := send(t, u.Wallet, apdu.Select(name, false)); r.SW != apdu.FileNotFound {
			t.Errorf("SELECT %X: %v", name, r.SW)
		}
	}
}

func TestNotDefaultApp(t *testing.T) {
	p := testProfile(1)
	w, err := New([]Profile{p}, State{}, Options{Store: &memory{}, NotDefault: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, sw := directory(t, w); sw != apdu.FileNotFound {
		t.Errorf("PPSE: %v", sw)
	}
	if r := send(t, w, apdu.Select(p.ADF, false)); r.SW != apdu.OK {
		t.Errorf("SELECT by name: %v", r.SW)
	}
}

// TestGPO is the GPO line of scheme 7.4.
func TestGPO(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	s := func(tag tlv.Tag, v string) []byte {
		return (sale{amount: 1, values: map[tlv.Tag]string{tag: v}}).fill(testPDOL, nil)
	}
	good := (sale{amount: 1}).fill(testPDOL, nil)
	tests := []struct {
		name string
		data []byte
		want apdu.SW
	}{
		{"good", good, apdu.OK},
		{"short", good[1:], apdu.WrongLength},
		{"long", append(bytes.Clone(good), 0), apdu.WrongLength},
		{"version", s(tag9F2B, "02F0C1E100000000"), apdu.NotSupported},
		{"channel suite", s(tag9F2B, "01F0C2E100000000"), apdu.NotSupported},
		{"signature suite", s(tag9F2B, "01F0C1E200000000"), apdu.NotSupported},
		{"point", s(tag9E, "00"), apdu.WrongData},
		{"locked", s(tagDF8B26, "D000"), apdu.SeePhone},
	}
	for _, test := range tests {
		u.PowerOn()
		send(t, u.Wallet, apdu.Select(p.ADF, false))
		if r := send(t, u.Wallet, apdu.GPO(test.data)); r.SW != test.want {
			t.Errorf("%s: %v, want %v", test.name, r.SW, test.want)
		}
	}
	u.PowerOn()
	send(t, u.Wallet, apdu.Select(p.ADF, false))
	send(t, u.Wallet, apdu.GPO(good))
	send(t, u.Wallet, apdu.GPO(good[1:]))
	if r := send(t, u.Wallet, apdu.ReadRecord(1, 1)); r.SW != apdu.NotSatisfied {
		t.Errorf("READ RECORD after a GPO that failed: %v", r.SW)
	}
	u.PowerOn()
	for name, c := range map[string]apdu.Command{"GPO": apdu.GPO(good), "ERRD": apdu.ERRD([4]byte{}),
		"READ RECORD": apdu.ReadRecord(1, 1), "RECOVER": sale{}.recover()} {
		if r := send(t, u.Wallet, c); r.SW != apdu.NotSatisfied {
			t.Errorf("%s before SELECT: %v", name, r.SW)
		}
	}
	if len(u.store.saved) != 0 {
		t.Error("GPO did something durable")
	}
}

func TestSwitchedOffAndBlocked(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	s := sale{asked: tc, txid: 1, amount: 1}
	if err := u.Switch(p.ADF, false); err != nil {
		t.Fatal(err)
	}
	if sw := s.open(t, u.Wallet, p.ADF); sw != apdu.NotSatisfied {
		t.Errorf("switched off: %v", sw)
	}
	if err := errors.Join(u.Switch(p.ADF, true), u.Block(p.ADF, true)); err != nil {
		t.Fatal(err)
	}
	if a := s.pay(t, u.Wallet, p.ADF); a.cid() != aac || a.reason() != reasonRestricted {
		t.Errorf("blocked: CID %02X reason %02X", a.cid(), a.reason())
	}
}

func TestUnlockIsFreshFor30Seconds(t *testing.T) {
	p := testProfile(1)
	s := sale{asked: tc, txid: 1, amount: 15000, values: map[tlv.Tag]string{tagDF8B26: "D000"}}
	tests := []struct {
		age  time.Duration
		want apdu.SW
	}{{0, apdu.OK}, {30 * time.Second, apdu.OK}, {30*time.Second + 1, apdu.SeePhone}, {-1, apdu.SeePhone}}
	for _, test := range tests {
		u := newPhone(t, p)
		u.Unlock(noon.Add(-test.age))
		if sw := s.open(t, u.Wallet, p.ADF); sw != test.want {
			t.Errorf("unlocked %v ago: %v, want %v", test.age, sw, test.want)
		}
	}
	u := newPhone(t, p)
	u.Unlock(noon)
	a := s.pay(t, u.Wallet, p.ADF)
	if a.cid() != tc || a.objects[tag9F8102][0] != cvdDone || a.objects[tag9F10][3] != flagOffline|flagCDCVM {
		t.Errorf("unlocked: CID %02X CVD %X IAD %X", a.cid(), a.objects[tag9F8102], a.objects[tag9F10])
	}

	u = newPhone(t, p) // unlocked at GPO, stale at GENERATE AC: row 9
	u.Unlock(noon)
	s.open(t, u.Wallet, p.ADF)
	u.clock.at = noon.Add(time.Minute)
	a = read(t, s.generate(t, u.Wallet))
	if a.cid() != aac || a.reason() != reasonUnlock || !bytes.Equal(a.objects[tag9F8108], []byte{0x20, 0x20}) ||
		a.objects[tag9F8102][0] != cvdNone {
		t.Errorf("stale: CID %02X reason %02X 9F8108 %X", a.cid(), a.reason(), a.objects[tag9F8108])
	}
}

func TestRelayDataIsBoundToGenerateAC(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	s := sale{asked: tc, txid: 1, amount: 1}
	s.open(t, u.Wallet, p.ADF)
	send(t, u.Wallet, apdu.ERRD([4]byte{1}))
	last := send(t, u.Wallet, apdu.ERRD([4]byte{2}))
	relay := append([]byte{2, 0, 0, 0}, last.Data[2:]...)
	if r := s.generate(t, u.Wallet); r.SW != apdu.NotSatisfied {
		t.Errorf("zeros after an ERRD: %v", r.SW)
	}
	r := send(t, u.Wallet, apdu.GenerateAC(tc, s.fill(testCDOL1, relay)))
	if r.SW != apdu.OK || read(t, r).objects[tag9F10][3]&flagRelay == 0 {
		t.Errorf("the last ERRD answer: %v", r.SW)
	}
	if r := send(t, u.Wallet, apdu.ReadRecord(1, 1)); r.SW != apdu.NotSatisfied {
		t.Errorf("session keys outlived the answer: %v", r.SW)
	}
}

func TestStatusWords(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	(sale{amount: 1}).open(t, u.Wallet, p.ADF)
	for command, want := range map[string]apdu.SW{
		"":                     apdu.WrongLength,
		"00":                   apdu.WrongLength,
		"00A40400":             apdu.FileNotFound,
		"00A4040005F0":         apdu.WrongLength,
		"80A4040001F000":       swWrongCLA,
		"00A4000001F000":       apdu.WrongParameters,
		"00A4040101F000":       apdu.WrongParameters,
		"00C0000000":           apdu.UnknownCommand,
		"80D000000100":         apdu.WrongLength,
		"80EA000004":           apdu.WrongLength,
		"80EA0100040000000000": apdu.WrongParameters,
	} {
		got := u.Transmit(unhex(command))
		(sale{amount: 1}).open(t, u.Wallet, p.ADF)
		if len(got) != 2 {
			t.Errorf("%s: %X", command, got)
			continue
		}
		if sw := apdu.SW(got[0])<<8 | apdu.SW(got[1]); sw != want {
			t.Errorf("%s: %v, want %v", command, sw, want)
		}
	}
	for c, want := range map[byte]apdu.SW{1: apdu.OK, 9: apdu.RecordNotFound} {
		if r := send(t, u.Wallet, apdu.ReadRecord(2, c)); r.SW != want {
			t.Errorf("READ RECORD %d: %v", c, r.SW)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	p := testProfile(1)
	o := Options{Store: &memory{}}
	bad := func(f func(*Profile)) Profile { q := testProfile(1); f(&q); return q }
	for name, err := range map[string]error{
		"no store":       second(New([]Profile{p}, State{}, Options{})),
		"twin":           second(New([]Profile{p, p}, State{}, o)),
		"foreign state":  second(New([]Profile{p}, State{Cards: []CardState{{ADF: testProfile(2).ADF}}}, o)),
		"short chain":    second(New([]Profile{p}, State{Cards: []CardState{{ADF: p.ADF, Chain: Hex{1}}}}, o)),
		"negative spent": second(New([]Profile{p}, State{Cards: []CardState{{ADF: p.ADF, Spent: -1, Chain: make(Hex, 16)}}}, o)),
		"AFL":            second(New([]Profile{bad(func(q *Profile) { q.AFL = unhex("0801010010010404") })}, State{}, o)),
		"AIP":            second(New([]Profile{bad(func(q *Profile) { q.AIP = nil })}, State{}, o)),
		"PDOL":           second(New([]Profile{bad(func(q *Profile) { q.PDOL = unhex("9F") })}, State{}, o)),
		"zero profile":   second(New([]Profile{{}}, State{}, o)),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func second(_ *Wallet, err error) error { return err }
