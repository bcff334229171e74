package phone

import (
	"bytes"
	"errors"
	"testing"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
)

func TestRenewWantsTheLogReported(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	for i := range byte(2) {
		(sale{asked: tc, txid: i, amount: 5000}).pay(t, u.Wallet, p.ADF)
	}
	next := testGrant(1, 4, 20)
	if err := u.Renew(p.ADF, next); !errors.Is(err, ErrUnreported) {
		t.Fatalf("nothing reported: %v", err)
	}
	if err := u.Reported(p.ADF, 1); err != nil {
		t.Fatal(err)
	}
	if err := u.Renew(p.ADF, next); !errors.Is(err, ErrUnreported) {
		t.Fatalf("one of two reported: %v", err)
	}
	if err := u.Reported(p.ADF, 2); err != nil {
		t.Fatal(err)
	}
	if err := u.Renew(p.ADF, next); err != nil {
		t.Fatal(err)
	}
	if taps, err := u.Taps(p.ADF); err != nil || len(taps) != 0 {
		t.Errorf("old log: %v, %v", taps, err)
	}

	// After a restart the card shows the new grant and counts from its start.
	w, err := New([]Profile{p}, u.State(), Options{Store: u.store, Random: newStream(2), Now: u.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	s := sale{asked: tc, txid: 7, amount: 5000}
	s.open(t, w, p.ADF)
	send(t, w, apdu.ReadRecord(2, 1))
	session := *w.tap.session
	r := send(t, w, apdu.ReadRecord(2, 3))
	if plain := decrypt(t, session, r.Data); !bytes.Equal(plain, tlv.Append(nil, tagDF8B11, next)) {
		t.Errorf("grant record: %X", plain)
	}
	a := read(t, s.generate(t, w))
	state, err := cert.ParseState(a.objects[tagDF8B10])
	if err != nil {
		t.Fatal(err)
	}
	if state.Epoch != 4 || state.Index != 1 || a.atc() != 3 {
		t.Errorf("epoch %d index %d ATC %d", state.Epoch, state.Index, a.atc())
	}
}

func TestRenewRefuses(t *testing.T) {
	stranger := testGrant(1, 4, 20)
	stranger[125] ^= 1
	ahead := must(cert.ParseGrant(testGrant(1, 4, 20)))
	ahead.ATCBase = 1
	for name, grant := range map[string][]byte{
		"same epoch":    testGrant(1, 3, 20),
		"older epoch":   testGrant(1, 2, 20),
		"other device":  testGrant(2, 4, 20),
		"bad signature": stranger,
		"short":         testGrant(1, 4, 20)[:125],
		"ATC base":      must(ahead.Sign(issuerKey)),
	} {
		p := testProfile(1)
		u := newPhone(t, p)
		if err := u.Renew(p.ADF, grant); err == nil {
			t.Errorf("%s: taken", name)
		}
		if len(u.store.saved) != 0 {
			t.Errorf("%s: committed", name)
		}
	}
	p := testProfile(1) // an online-only card has no record to put a grant in
	p.Grant, p.AFL, p.Records = nil, unhex("0801010010010201"), p.Records[:3]
	u := newPhone(t, p)
	if err := u.Renew(p.ADF, testGrant(1, 4, 20)); err == nil {
		t.Error("online-only card: taken")
	}
}

func TestFailingStoreKeepsTheOldGrant(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	u.store.fail = errDiskFull
	if err := u.Renew(p.ADF, testGrant(1, 4, 20)); !errors.Is(err, errDiskFull) {
		t.Fatalf("%v", err)
	}
	u.store.fail = nil
	a := (sale{asked: tc, txid: 1, amount: 1}).pay(t, u.Wallet, p.ADF)
	if s, err := cert.ParseState(a.objects[tagDF8B10]); err != nil || s.Epoch != 3 {
		t.Errorf("epoch %d, %v", s.Epoch, err)
	}
}
