package backend

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
)

// The same message gets the same bytes, also from a wallet that was started again.
func TestRepetitionGetsTheSameBytes(t *testing.T) {
	s := newShop(t)
	for name, d := range map[string]wire.Data{
		"taken":    wire.Advice{Payment: about(1, 500, 1, s.tap(1, 500, backendtest.AskTC, 1))},
		"refused":  wire.Authorisation{Payment: about(2, 99999, 2, s.tap(2, 99999, backendtest.AskARQC, 2))},
		"no money": wire.Refund{Payment: about(3, 500, 0, nil), RefundID: wire.ID{1}},
	} {
		m := s.seal(d)
		first := s.deliver(m)
		s.now = s.now.Add(time.Hour)
		again, err := NewService(Config{Ledger: s.ledger, Verifier: s.service.verifier, Signing: s.keys.Signing, Decryption: s.keys.Decryption})
		s.must(err)
		s.service = again
		if !bytes.Equal(s.deliver(m), first) {
			t.Errorf("%s: the answer changed", name)
		}
	}
	if s.balance("alice") != 9500 {
		t.Errorf("alice has %d", s.balance("alice"))
	}
}

func TestNumberOrIDWithOtherContent(t *testing.T) {
	s := newShop(t)
	s.receipt(wire.Reversal{Payment: about(9, 1, 0, nil)})
	first := wire.Header{ID: wire.ID{1}, Sequence: 50, Time: noon}
	good := s.sealAs(s.terminal, first, advice(500)(s))
	s.deliver(good)
	for name, h := range map[string]wire.Header{
		"number": {ID: wire.ID{2}, Sequence: 50, Time: noon},
		"id":     {ID: wire.ID{1}, Sequence: 51, Time: noon},
	} {
		other := s.sealAs(s.terminal, h, wire.Reversal{Payment: about(1, 500, 0, nil)})
		for range 2 {
			r := open[wire.Receipt](s, other, s.deliver(other))
			if r.Result != wire.Refused || r.Reason != 0x2A || r.State != wire.StateTaken {
				t.Errorf("same %s: %v %v %v", name, r.Result, r.Reason, r.State)
			}
		}
	}
	if s.balance("alice") != 9500 {
		t.Errorf("alice has %d: a refused message moved money", s.balance("alice"))
	}
	// Gaps and any order are fine (terminal.md, Messages).
	for _, sequence := range []uint64{1000, 49} {
		m := s.sealAs(s.terminal, wire.Header{ID: randomID(), Sequence: sequence, Time: noon}, wire.Reversal{Payment: about(byte(sequence), 5, 0, nil)})
		if r := open[wire.Receipt](s, m, s.deliver(m)); r.Result != wire.Accepted {
			t.Errorf("sequence %d: %v", sequence, r.Reason)
		}
	}
}

// Policy of scheme 9.4 step 5: what the phone signed must be what the message says.
func TestUploaderMustBeTheSigned(t *testing.T) {
	tap := func(change func(*backendtest.Tap)) func(*shop) wire.Data {
		return func(s *shop) wire.Data {
			sale := s.sale(1, 500, backendtest.AskTC, 1)
			change(&sale)
			record, _, err := sale.Do(s.phone)
			s.must(err)
			return wire.Advice{Payment: about(1, 500, 1, record)}
		}
	}
	for name, c := range map[string]struct {
		make func(*shop) wire.Data
		want wire.Reason
	}{
		"right":          {tap(func(*backendtest.Tap) {}), 0},
		"other merchant": {tap(func(t *backendtest.Tap) { t.Merchant = "coffee" }), 0x2A},
		"other terminal": {tap(func(t *backendtest.Tap) { t.Terminal = "TERM0002" }), 0x2A},
		"other payment":  {tap(func(t *backendtest.Tap) { t.Payment = [16]byte{7} }), 0x2A},
		"other amount":   {tap(func(t *backendtest.Tap) { t.Amount = 400 }), 0x2A},
		"30 days old":    {tap(func(t *backendtest.Tap) { t.At = noon.AddDate(0, 0, -30) }), 0x20}, // before the certificate
		"2 days ahead":   {tap(func(t *backendtest.Tap) { t.At = noon.AddDate(0, 0, 2) }), 0x2A},
		"1 day ahead":    {tap(func(t *backendtest.Tap) { t.At = noon.AddDate(0, 0, 1) }), 0},
		"declined as online": {func(s *shop) wire.Data {
			return wire.Authorisation{Payment: about(1, 500, 2, withKind(s.tap(1, 500, backendtest.AskAAC, 3), 2))}
		}, 0x2A},
		"kind of the message, not of the record": {func(s *shop) wire.Data {
			return wire.Advice{Payment: about(1, 500, 1, s.tap(1, 500, backendtest.AskTC, 4))}
		}, 0x2A},
		"refund as purchase": {func(s *shop) wire.Data {
			sale := s.sale(1, 500, backendtest.AskARQC, 2)
			sale.Refund = true
			record, _, err := sale.Do(s.phone)
			s.must(err)
			return wire.Authorisation{Payment: about(1, 500, 2, record)}
		}, 0x2A},
		"not a record": {func(s *shop) wire.Data { return wire.Advice{Payment: about(1, 500, 1, []byte{1, 2, 3})} }, 0x2A},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			r := s.receipt(c.make(s))
			if r.Reason != c.want || (r.Result == wire.Accepted) != (c.want == 0) {
				t.Errorf("%v %v, want %v", r.Result, r.Reason, c.want)
			}
			if moved := 10000 - s.balance("alice"); (moved == 500) != (c.want == 0) {
				t.Errorf("%d moved", moved)
			}
		})
	}
}

// A record older than 30 days is late, whatever else is right.
func TestOldRecordIsLate(t *testing.T) {
	for days, want := range map[int]wire.Reason{30: 0, 31: 0x2A} {
		s := newShop(t)
		d := advice(500)(s)
		s.now = noon.AddDate(0, 0, days)
		if r := s.receipt(d); r.Reason != want {
			t.Errorf("%d days: %v, want %v", days, r.Reason, want)
		}
	}
}

func TestRefundByTapNeedsTheSamePayer(t *testing.T) {
	refundID := wire.ID{0xEE}
	tapRefund := func(s *shop) wire.Data {
		sale := s.sale(1, 200, backendtest.AskARQC, 6)
		sale.Refund, sale.Payment = true, refundID
		record, _, err := sale.Do(s.phone)
		s.must(err)
		return wire.Refund{Payment: about(1, 200, 6, record), RefundID: refundID}
	}
	s := newShop(t)
	s.receipt(advice(500)(s))
	s.must(OpenPayer(t.Context(), s.ledger, "bob", "Bob", "CNY", 0, noon))
	own := s.phone
	s.reissue(s.ledger, "bob", nil)
	if r := s.receipt(tapRefund(s)); r.Reason != 0x13 {
		t.Errorf("to another wallet: %v", r.Reason)
	}
	s.phone = own
	if r := s.receipt(tapRefund(s)); r.Result != wire.Accepted || s.balance("alice") != 9700 {
		t.Errorf("to the payer: %v %v, alice has %d", r.Result, r.Reason, s.balance("alice"))
	}
}

func TestOtherTerminalsPayment(t *testing.T) {
	s := newShop(t)
	s.receipt(advice(500)(s))
	first := s.terminal
	s.terminal = s.enrol(wire.Address{Merchant: "tea", Terminal: "t2"}, "TERM0002")
	for _, d := range []wire.Data{reversalByID(500)(s), refund(1, 100)(s), advice(500)(s)} {
		if r := s.receipt(d); r.Result != wire.Refused || r.State != wire.StateUnknown {
			t.Errorf("%s: %v %v", d.Kind(), r.Result, r.State)
		}
	}
	m := s.seal(wire.Query{PaymentID: wire.ID{1}})
	if st := open[wire.Status](s, m, s.deliver(m)); st.State != wire.StateUnknown || st.Receipt != nil {
		t.Errorf("query: %v", st.State)
	}
	s.terminal = first
	if s.balance("alice") != 9500 {
		t.Errorf("alice has %d", s.balance("alice"))
	}
}

func TestRejectedMessages(t *testing.T) {
	s := newShop(t)
	stranger := func(a wire.Address, encryption *ecdsa.PublicKey) *wire.Terminal {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		s.must(err)
		signing, err := wire.NewSigningKey(private)
		s.must(err)
		terminal, err := wire.NewTerminal(wire.TerminalKeys{Address: a, Signing: signing,
			WalletSigning: []ed25519.PublicKey{s.keys.Signing.Public()}, WalletEncryption: encryption})
		s.must(err)
		return terminal
	}
	good := s.seal(wire.Echo{})
	h := wire.Header{ID: randomID(), Time: noon}
	for name, m := range map[string]sealed{
		"not a message": {good.topic, []byte("{}")},
		"nothing":       {good.topic, nil},
		"other topic":   {atTea.UpTopic(wire.KindQuery), good.raw},
		"foreign topic": {"elsewhere", good.raw},
		"other key":     s.sealAs(stranger(atTea, s.keys.Decryption.Public()), h, wire.Echo{}),
		"not enrolled":  s.sealAs(stranger(wire.Address{Merchant: "x", Terminal: "y"}, s.keys.Decryption.Public()), h, wire.Echo{}),
		"cut":           {good.topic, good.raw[:len(good.raw)-3]},
	} {
		if out, err := s.service.Handle(t.Context(), m.topic, m.raw); !errors.Is(err, ErrRejected) || out != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A genuine message whose record cannot be opened is refused for good, not left to be sent for ever.
func TestUnreadableRecordIsRefused(t *testing.T) {
	s := newShop(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	s.must(err)
	s.must(EnrolTerminal(t.Context(), s.ledger, Enrolment{atTea, "Tea House", schemeID, public, "CNY"}))
	signing, err := wire.NewSigningKey(private)
	s.must(err)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	s.terminal, err = wire.NewTerminal(wire.TerminalKeys{Address: atTea, Signing: signing,
		WalletSigning: []ed25519.PublicKey{s.keys.Signing.Public()}, WalletEncryption: &other.PublicKey})
	s.must(err)
	if r := s.receipt(advice(500)(s)); r.Result != wire.Refused || r.Reason != 0x2A {
		t.Errorf("%v %v", r.Result, r.Reason)
	}
	if list, _ := s.ledger.Payments(t.Context(), "", "", ""); len(list) != 0 {
		t.Errorf("%d payments", len(list))
	}
}

func TestQueryTellsAndCreatesNothing(t *testing.T) {
	s := newShop(t)
	ask := func() wire.Status {
		m := s.seal(wire.Query{PaymentID: wire.ID{1}})
		return open[wire.Status](s, m, s.deliver(m))
	}
	for range 2 {
		if st := ask(); st.State != wire.StateUnknown || st.Receipt != nil {
			t.Errorf("before: %v", st.State)
		}
	}
	if list, _ := s.ledger.Payments(t.Context(), "", "", ""); len(list) != 0 {
		t.Errorf("a query made %d payments", len(list))
	}
	r := s.receipt(advice(500)(s))
	st := ask()
	if st.State != wire.StateTaken || st.AmountMinor != 500 || st.Receipt == nil || *st.Receipt != r {
		t.Errorf("after: %+v", st)
	}
}

func TestEchoAndState(t *testing.T) {
	s := newShop(t)
	m := s.seal(wire.Echo{})
	open[wire.EchoAnswer](s, m, s.deliver(m))
	m = s.seal(wire.State{Online: true, Session: 1, Since: wire.At(noon), Version: "1"})
	if out, err := s.service.Handle(t.Context(), m.topic, m.raw); err != nil || out != nil {
		t.Errorf("state: %v %v", out, err)
	}
}

func TestLedgerTroubleIsNotARejection(t *testing.T) {
	s := newShop(t)
	m := s.seal(wire.Echo{})
	broken, err := ledger.Open(t.Context(), t.TempDir()+"/l.db")
	s.must(err)
	s.must(broken.Close())
	s.service.ledger, s.service.enrolled = broken, &enrolments{ledger: broken}
	if _, err := s.service.Handle(t.Context(), m.topic, m.raw); err == nil || errors.Is(err, ErrRejected) {
		t.Errorf("%v: a good message must be handled again later", err)
	}
}
