package backend

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/ledger/ledgertest"
	"tapkeeper/wallet/phone"
)

var (
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	atTea = wire.Address{Merchant: "tea", Terminal: "t1"}
)

// shop is a wallet with one payer, and a merchant with one terminal.
type shop struct {
	testing.TB
	path     string // name of the ledger
	ledger   *ledger.Ledger
	keys     *Keys
	service  *Service
	terminal *wire.Terminal
	profile  phone.Profile
	phone    *phone.Wallet
	evidence []byte        // of payment 1, see once
	warned   []Publication // beside the last answer
	sequence uint64
	now      time.Time
}

const schemeID = "TERM0001"

func TestMain(m *testing.M) { os.Exit(ledgertest.Main(m)) }

// newShop keeps its books in a file.
func newShop(t testing.TB) *shop { return newShopIn(t, filepath.Join(t.TempDir(), "ledger.db")) }

// eachShop runs a test in a shop with books of every kind.
func eachShop(t *testing.T, test func(*shop)) {
	t.Helper()
	ledgertest.Each(t, func(t *testing.T, name string) { test(newShopIn(t, name)) })
}

func newShopIn(t testing.TB, name string) *shop {
	t.Helper()
	s := &shop{TB: t, now: noon, path: name}
	l, err := ledger.Open(t.Context(), s.path)
	s.must(err)
	s.ledger = l
	t.Cleanup(func() {
		if findings, err := s.ledger.Check(context.Background()); err != nil || len(findings) > 0 {
			t.Errorf("check: %v %q", err, findings)
		}
		s.ledger.Close()
	})
	issuer, err := NewIssuer(noon, rand.Reader)
	s.must(err)
	s.keys, err = NewKeys(issuer, rand.Reader)
	s.must(err)
	verifier, err := issuer.Verifier()
	s.must(err)
	s.service, err = NewService(Config{Ledger: l, Verifier: verifier, Signing: s.keys.Signing, Decryption: s.keys.Decryption,
		Now: func() time.Time { return s.now }})
	s.must(err)
	s.terminal = s.enrol(atTea, schemeID)
	s.must(OpenPayer(t.Context(), l, "alice", "Alice", "CNY", 10_000, noon))
	s.reissue(l, "alice", &DefaultAllowance)
	return s
}

// reissue gives the shop's customer a new phone, registered in a ledger.
func (s *shop) reissue(l *ledger.Ledger, account string, allowance *Allowance) {
	s.Helper()
	var err error
	s.profile, err = s.keys.Issuer.IssueCard(s.Context(), l, Card{Account: account, Kind: WalletBalance, Label: "TapKeeper",
		Digits: [2]byte{0x43, 0x21}, Allowance: allowance}, noon, rand.Reader)
	s.must(err)
	s.phone, err = backendtest.New(s.profile, func() time.Time { return noon })
	s.must(err)
}

// withKind is a record with another kind, which no signature covers (scheme 9.1).
func withKind(record []byte, kind byte) []byte {
	copied := bytes.Clone(record)
	at := bytes.Index(copied, []byte{0xDF, 0x8B, 0x31, 0x01})
	copied[at+4] = kind
	return copied
}

func (s *shop) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// enrol makes a terminal's side of the wire and registers it.
func (s *shop) enrol(a wire.Address, scheme string) *wire.Terminal {
	s.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	s.must(err)
	s.must(EnrolTerminal(s.Context(), s.ledger, Enrolment{a, "Tea House", scheme, public, "CNY"}))
	signing, err := wire.NewSigningKey(private)
	s.must(err)
	terminal, err := wire.NewTerminal(wire.TerminalKeys{Address: a, Signing: signing,
		WalletSigning: []ed25519.PublicKey{s.keys.Signing.Public()}, WalletEncryption: s.keys.Decryption.Public()})
	s.must(err)
	return terminal
}

// tap makes the evidence of one tap for a payment.
func (s *shop) tap(n byte, amount int64, ask, kind byte) []byte {
	s.Helper()
	record, _, err := s.sale(n, amount, ask, kind).Do(s.phone)
	s.must(err)
	return record
}

func (s *shop) sale(n byte, amount int64, ask, kind byte) backendtest.Tap {
	return backendtest.Tap{Payment: [16]byte{n}, Amount: amount, Ask: ask, Merchant: "tea", Terminal: schemeID, At: noon, Kind: kind,
		Connected: ask == backendtest.AskARQC}
}

// about is the common data of a message about payment n.
func about(n byte, amount int64, kind byte, record []byte) wire.Payment {
	return wire.Payment{PaymentID: wire.ID{n}, OrderRef: "order", AmountMinor: amount, Currency: "CNY", BusinessDay: "2026-11-24",
		AcceptedAt: wire.At(noon), RecordKind: wire.RecordKind(kind), Record: wire.NewRecord(record)}
}

// sealed is a message ready to be sent, perhaps more than once.
type sealed struct {
	topic string
	raw   []byte
}

func (s *shop) seal(d wire.Data) sealed {
	s.Helper()
	s.sequence++
	return s.sealAs(s.terminal, wire.Header{ID: randomID(), Sequence: s.sequence, Time: noon}, d)
}

func (s *shop) sealAs(t *wire.Terminal, h wire.Header, d wire.Data) sealed {
	s.Helper()
	raw, err := t.Seal(h, d)
	s.must(err)
	return sealed{t.Address().UpTopic(d.Kind()), raw}
}

// deliver hands a message to the service and returns the bytes of the only answer.
func (s *shop) deliver(m sealed) []byte {
	s.Helper()
	out, err := s.service.Handle(s.Context(), m.topic, m.raw)
	s.must(err)
	if len(out) == 0 {
		s.Fatal("no answer")
	}
	s.warned = nil
	for _, p := range out[1:] { // beside its answer, a message may have a device blocked
		if !strings.HasSuffix(p.Topic, "/"+string(wire.KindHotlist)) {
			s.Fatalf("a second answer on %s", p.Topic)
		}
		s.warned = append(s.warned, p)
	}
	return out[0].Payload
}

// open reads an answer as the terminal would and holds that it answers m.
func open[T wire.Data](s *shop, m sealed, raw []byte) T {
	s.Helper()
	var want T
	answer, err := s.terminal.Open(s.terminal.Address().DownTopic(want.Kind()), raw)
	s.must(err)
	if a, _ := wire.Answers(answer.Data); a.AnswersSHA256 != wire.DigestOf(m.raw) {
		s.Errorf("the answer is to something else")
	}
	got, ok := answer.Data.(T)
	if !ok {
		s.Fatalf("answered by %T", answer.Data)
	}
	return got
}

func (s *shop) receipt(d wire.Data) wire.Receipt {
	s.Helper()
	m := s.seal(d)
	return open[wire.Receipt](s, m, s.deliver(m))
}

func (s *shop) balance(id string) int64 {
	s.Helper()
	var a ledger.Account
	s.must(s.ledger.View(s.Context(), func(tx *ledger.Tx) (err error) { a, err = tx.Account(id); return err }))
	return a.BalanceMinor
}

// returned is what went back to the phone's allowance.
func (s *shop) returned() int64 {
	s.Helper()
	var sum int64
	s.must(s.ledger.View(s.Context(), func(tx *ledger.Tx) (err error) {
		sum, err = tx.ReturnedMinor([8]byte(s.profile.DeviceID), 1)
		return err
	}))
	return sum
}

func (s *shop) block(account string) {
	s.Helper()
	s.must(s.ledger.Update(s.Context(), func(tx *ledger.Tx) error { return tx.SetBlocked(account, true) }))
}
