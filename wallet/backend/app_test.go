package backend

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

var smallPolicy = Allowance{TotalMinor: 1000, PerTapMinor: 1000, MaxTaps: 5}

func (s *shop) app() *App {
	return NewApp(s.ledger, s.keys.Issuer, smallPolicy, func() time.Time { return s.now })
}

// sync plays the phone's app once and returns what the issuer said.
func (s *shop) sync(renew bool) (phone.Reply, error) {
	s.Helper()
	upload, err := s.phone.Upload(s.profile.ADF, renew)
	s.must(err)
	raw, err := s.app().Handle(s.Context(), upload)
	if err != nil {
		return phone.Reply{}, err
	}
	s.must(s.phone.Apply(s.profile.ADF, upload, raw))
	var r phone.Reply
	s.must(json.Unmarshal(raw, &r))
	return r, nil
}

func (s *shop) deliverTap(n byte, amount int64, record []byte) wire.Receipt {
	s.Helper()
	return s.receipt(wire.Advice{Payment: about(n, amount, 1, record)})
}

func epochAndTotal(s *shop, grant []byte) (uint32, uint64) {
	s.Helper()
	g, err := cert.ParseGrant(grant)
	s.must(err)
	total, _ := tlv.Number(g.Total[:])
	return g.Epoch, total
}

// A new grant starts a new epoch, and the wallet keeps the two apart. A tap that
// no terminal has brought yet lowers the grant, and still counts when it comes.
func TestRenewedAllowance(t *testing.T) { eachShop(t, renewedAllowance) }

func renewedAllowance(s *shop) {
	s.deliverTap(1, 500, s.tap(1, 500, backendtest.AskTC, 1))
	late := s.tap(2, 300, backendtest.AskTC, 1)
	r, err := s.sync(true)
	s.must(err)
	if epoch, total := epochAndTotal(s, r.Grant); epoch != 2 || total != 700 || r.Undelivered != 300 || r.Status != "active" {
		s.Errorf("epoch %d, total %d: %+v", epoch, total, r)
	}
	if got := s.deliverTap(3, 700, s.tap(3, 700, backendtest.AskTC, 1)); got.Result != wire.Accepted {
		s.Errorf("first tap of the new epoch: %v", got.Reason)
	}
	if got := s.deliverTap(2, 300, late); got.Result != wire.Accepted {
		s.Errorf("late tap of the old epoch: %v", got.Reason)
	}
	if r, err = s.sync(true); err != nil || r.Undelivered != 0 {
		s.Errorf("all delivered: %+v %v", r, err)
	}
	if epoch, total := epochAndTotal(s, r.Grant); epoch != 3 || total != 1000 {
		s.Errorf("epoch %d, total %d", epoch, total)
	}
	s.tap(4, 1000, backendtest.AskTC, 1)
	if r, err := s.sync(true); err != nil || len(r.Grant) != 0 || r.Undelivered != 1000 {
		s.Errorf("all on its way: %+v %v", r, err)
	}
	s.block("alice")
	if r, err := s.sync(true); err != nil || r.Status != "blocked" || len(r.Grant) != 0 {
		s.Errorf("a blocked account: %+v %v", r, err)
	}
}

// A reply that is lost costs nothing: the same upload gets the same grant, and so
// does a later one, unless what was spent since would be on top.
func TestLostReplyOfARenewal(t *testing.T) { eachShop(t, lostReply) }

func lostReply(s *shop) {
	first, err := s.phone.Upload(s.profile.ADF, true)
	s.must(err)
	var grants [][]byte
	handle := func(upload []byte) phone.Reply {
		raw, err := s.app().Handle(s.Context(), upload)
		s.must(err)
		var r phone.Reply
		s.must(json.Unmarshal(raw, &r))
		grants = append(grants, r.Grant)
		return r
	}
	handle(first)
	handle(first)
	record := s.tap(1, 400, backendtest.AskTC, 1)
	second, err := s.phone.Upload(s.profile.ADF, true)
	s.must(err)
	if r := handle(second); len(r.Grant) != 0 || r.Undelivered != 400 {
		s.Errorf("spent since, and a whole grant on top: %+v", r)
	}
	s.deliverTap(1, 400, record)
	handle(second)
	if len(grants[0]) == 0 || !bytes.Equal(grants[0], grants[1]) || !bytes.Equal(grants[0], grants[3]) {
		s.Errorf("grants %X", grants)
	}
	s.must(s.phone.Reported(s.profile.ADF, 1))
	s.must(s.phone.Renew(s.profile.ADF, grants[3]))
}

// No day belongs to both: as long as a tap's record is accepted it is not
// released, from the day on that it is released its record is refused.
func TestNoDayBelongsToBoth(t *testing.T) { eachShop(t, noDayBelongsToBoth) }

func noDayBelongsToBoth(s *shop) {
	last := noon.AddDate(0, 0, allowanceDays)
	for n, c := range []struct {
		days     int // after the last day of the grant
		accepted bool
		released int64
	}{{0, true, 0}, {30, true, 0}, {31, false, 1}, {32, false, 1}} {
		for _, hour := range []int{0, 23} {
			s.reissue(s.ledger, "alice", &smallPolicy)
			s.now = noon
			payment := byte(10*n + hour/23 + 1)
			sale := s.sale(payment, 5, backendtest.AskTC, 1)
			sale.At = last
			record, _, err := sale.Do(s.phone)
			s.must(err)
			day := last.UTC().Truncate(24*time.Hour).AddDate(0, 0, c.days)
			s.now = day.Add(time.Duration(hour) * time.Hour)
			r, err := s.sync(false)
			s.must(err)
			got := s.deliverTap(payment, 5, record)
			if r.Released != c.released || (got.Result == wire.Accepted) != c.accepted {
				s.Errorf("day %d, hour %d: released %d, record %v %v", c.days, hour, r.Released, got.Result, got.Reason)
			}
			s.now = day.Add(time.Duration(hour) * time.Hour)
			if r, err := s.sync(false); err != nil || r.Undelivered != 0 && r.Released == 0 && c.released > 0 {
				s.Errorf("day %d again: %+v %v", c.days, r, err)
			}
		}
	}
}

// What was released is the payer's also for a worker whose clock is behind.
func TestReleasedStaysReleased(t *testing.T) { eachShop(t, releasedStays) }

func releasedStays(s *shop) {
	record := s.tap(1, 500, backendtest.AskTC, 1)
	_, err := s.sync(false)
	s.must(err)
	s.now = noon.AddDate(0, 0, allowanceDays+releaseDays)
	if taps, err := s.app().Release(s.Context()); err != nil || taps != 1 {
		s.Errorf("%d released: %v", taps, err)
	}
	s.now = noon
	if r := s.deliverTap(1, 500, record); r.Result != wire.Refused || s.balance("alice") != 10_000 {
		s.Errorf("taken after the release: %+v", r)
	}
}

// A payment that was reversed by its id can never claim the tap: the phone's log
// gives the allowance back at once.
func TestReversedIsReleasedAtOnce(t *testing.T) { eachShop(t, reversedIsReleased) }

func reversedIsReleased(s *shop) {
	s.tap(1, 500, backendtest.AskTC, 1)
	s.receipt(wire.Reversal{Payment: about(1, 500, 0, nil)})
	r, err := s.sync(true)
	s.must(err)
	if _, total := epochAndTotal(s, r.Grant); r.Released != 1 || r.Undelivered != 0 || total != 1000 {
		s.Errorf("%+v", r)
	}
}

func TestRefusedUploads(t *testing.T) {
	s := newShop(t)
	s.tap(1, 500, backendtest.AskTC, 1)
	s.tap(2, 300, backendtest.AskTC, 1)
	good, err := s.phone.Upload(s.profile.ADF, false)
	s.must(err)
	changed := func(edit func(*phone.Upload)) []byte { return s.signedUpload(good, edit) }
	for name, raw := range map[string][]byte{
		"nothing":          nil,
		"two parts":        []byte("a.b"),
		"signature":        append(bytes.Clone(good[:len(good)-2]), "AA"...),
		"long":             bytes.Repeat([]byte{'a'}, MaxUpload+1),
		"unknown device":   changed(func(u *phone.Upload) { u.Device = make([]byte, 8) }),
		"short device":     changed(func(u *phone.Upload) { u.Device = u.Device[:7] }),
		"no such epoch":    changed(func(u *phone.Upload) { u.Epoch = 9 }),
		"a gap":            changed(func(u *phone.Upload) { u.Taps = u.Taps[1:] }),
		"another amount":   changed(func(u *phone.Upload) { u.Taps[1].Amount = 200 }),
		"negative amount":  changed(func(u *phone.Upload) { u.Taps[1].Amount = -300 }),
		"another counter":  changed(func(u *phone.Upload) { u.Taps[1].ATC++; u.ATC++ }),
		"counter ahead":    changed(func(u *phone.Upload) { u.ATC = 1 }),
		"another terminal": changed(func(u *phone.Upload) { u.Taps[0].Terminal = []byte("TERM0009") }),
		"without epoch":    changed(func(u *phone.Upload) { u.Epoch = 0 }),
	} {
		if _, err := s.app().Handle(t.Context(), raw); !errors.Is(err, ErrUpload) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.app().Handle(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if _, err := s.app().Handle(t.Context(), changed(func(u *phone.Upload) { u.Taps = u.Taps[:1] })); !errors.Is(err, ErrUpload) {
		t.Errorf("less than before: %v", err)
	}
	if d := s.device(); d.Status != ledger.DeviceActive {
		t.Error("an upload that proves nothing blocked the device")
	}
}

// signedUpload changes an upload and signs it with the phone's key.
func (s *shop) signedUpload(upload []byte, edit func(*phone.Upload)) []byte {
	s.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(string(bytes.Split(upload, []byte{'.'})[1]))
	s.must(err)
	var u phone.Upload
	s.must(json.Unmarshal(payload, &u))
	edit(&u)
	raw, err := phone.SignUpload(s.profile, u)
	s.must(err)
	return raw
}

func (s *shop) device() ledger.Device {
	s.Helper()
	var d ledger.Device
	s.must(s.ledger.View(s.Context(), func(tx *ledger.Tx) (err error) { d, err = tx.Device([8]byte(s.profile.DeviceID)); return err }))
	return d
}

// A phone whose log leaves out what a terminal has in writing lies: it is blocked,
// and record and log prove it. So is one whose record does not fit the log it
// told. An upload that was only late says nothing.
func TestLogAgainstRecords(t *testing.T) { eachShop(t, logAgainstRecords) }

func logAgainstRecords(s *shop) {
	late, err := s.phone.Upload(s.profile.ADF, false)
	s.must(err)
	record := s.tap(1, 500, backendtest.AskTC, 1)
	s.deliverTap(1, 500, record)
	if _, err := s.app().Handle(s.Context(), late); err != nil || s.device().Status != ledger.DeviceActive {
		s.Fatalf("an upload from before the tap: %v, %s", err, s.device().Status)
	}
	upload, err := s.phone.Upload(s.profile.ADF, true)
	s.must(err)
	lie := s.signedUpload(upload, func(u *phone.Upload) { u.Taps = nil })
	raw, err := s.app().Handle(s.Context(), lie)
	s.must(err)
	var r phone.Reply
	s.must(json.Unmarshal(raw, &r))
	if r.Status != "blocked" || len(r.Grant) != 0 {
		s.Errorf("a log without the tap: %+v", r)
	}
	keys := []CAKey{s.keys.Issuer.CAKey()}
	proofs := s.proofs()
	if len(proofs) != 1 || proofs[0].Rule != RuleLog || !bytes.Equal(proofs[0].Second, lie) {
		s.Fatalf("proofs: %+v", proofs)
	}
	if p, err := Prove(keys, record, lie); err != nil || p.Rule != RuleLog {
		s.Errorf("for a third party: %+v %v", p, err)
	}
	for name, innocent := range map[string][]byte{"late": late, "honest": upload, "unsigned": append(bytes.Clone(lie[:len(lie)-2]), "AA"...)} {
		if p, err := Prove(keys, record, innocent); err == nil {
			s.Errorf("%s: proves %s", name, p.Rule)
		}
	}

	s.reissue(s.ledger, "alice", &smallPolicy)
	clone, err := backendtest.New(s.profile, func() time.Time { return noon })
	s.must(err)
	s.tap(2, 500, backendtest.AskTC, 1)
	_, err = s.sync(false)
	s.must(err)
	record, _, err = s.sale(3, 500, backendtest.AskTC, 1).Do(clone)
	s.must(err)
	if r := s.deliverTap(3, 500, record); r.Reason != reasonAllowance || s.device().Status != ledger.DeviceBlocked {
		s.Errorf("a record against the log: %+v", r)
	}
}
