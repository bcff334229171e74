package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"reflect"
	"testing"
	"time"
)

var (
	till  = Address{"noodle-bar", "till-1"}
	other = Address{"noodle-bar", "till-2"}
)

// keys of tests are made of one repeated byte: golden messages need the same ones.
func testEd25519(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

type parties struct {
	terminal *Terminal
	wallet   *Wallet
}

func newParties(t testing.TB) parties {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tk, err := NewSigningKey(testEd25519(1))
	must(err)
	wk, err := NewSigningKey(testEd25519(2))
	must(err)
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{3}, 32))
	must(err)
	dk, err := NewDecryptionKey(ec)
	must(err)
	var p parties
	p.terminal, err = NewTerminal(TerminalKeys{Address: till, Signing: tk,
		WalletSigning: []ed25519.PublicKey{wk.Public()}, WalletEncryption: dk.Public()})
	must(err)
	p.wallet, err = NewWallet(WalletKeys{Signing: wk, Decryption: dk,
		Terminal: func(a Address, kid string) (ed25519.PublicKey, error) {
			if a != till || kid != KeyID(tk.Public()) {
				return nil, nil
			}
			return tk.Public(), nil
		}})
	must(err)
	return p
}

// open opens on the right side for the kind.
func (p parties) open(k Kind, raw []byte) (*Message, error) {
	if upDecoder(k) != nil {
		return p.wallet.Open(till.UpTopic(k), raw)
	}
	return p.terminal.Open(till.DownTopic(k), raw)
}

func (p parties) seal(h Header, d Data) ([]byte, error) {
	if upDecoder(d.Kind()) != nil {
		return p.terminal.Seal(h, d)
	}
	return p.wallet.Seal(till, h, d)
}

// forge signs any header and payload with a private key.
func forge(k ed25519.PrivateKey, header, payload string) []byte {
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	return []byte(signed + "." + b64(ed25519.Sign(k, []byte(signed))))
}

func goodHeader(k ed25519.PrivateKey) string {
	return fmt.Sprintf(`{"alg":"EdDSA","kid":"%s","typ":"%s"}`, KeyID(k.Public()), jwsType)
}

func testID(n byte) ID {
	return ID{0x01, 0x90, 0xa5, 0xd4, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
}

var testTime = time.Date(2026, 11, 24, 9, 30, 0, 120e6, time.UTC)

func payment(kind RecordKind) Payment {
	p := Payment{PaymentID: testID(1), OrderRef: "order 17", AmountMinor: 1250, Currency: "CNY",
		BusinessDay: "2026-11-24", AcceptedAt: At(testTime), RecordKind: kind}
	if kind != 0 {
		p.Record = NewRecord([]byte{0xBF, 0x8B, 0x01, 0x03, 0xDF, 0x8B, 0x30})
	}
	return p
}

// abandoned is a payment with an attempt that was never answered.
func abandoned(p Payment) Payment {
	p.Abandoned = []Abandoned{{1, 2, 19: 3}}
	return p
}

// testRevocations is a list of the CA with the key of 32 bytes 04, as it was once sealed.
const testRevocations = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjU4NmM5YXR6NnBQcmVUR2tkM0ZuRjI2ZUlYVGdjdmZkRHVTR01YaEFOdFUiLCJ0eXAiOiJ0YXBrZWVwZXIuY3JsLnYxIn0.eyJyaWQiOiJmMDU0NDE1MDRiIiwidmVyc2lvbiI6NCwiaXNzdWVkX2F0IjoiMjAyNi0xMS0yNFQwOTozMDowMC4xMjBaIiwiYmFzZSI6MywiYWRkZWQiOlt7ImluZGV4IjoxLCJpc3N1ZXJfc2VyaWFsIjo3fSx7ImluZGV4IjoxLCJpc3N1ZXJfc2VyaWFsIjo4LCJkZXZpY2Vfc2VyaWFsIjoiMDAxMTIyMzM0NGFhIn1dLCJyZW1vdmVkIjpbeyJpbmRleCI6MSwiaXNzdWVyX3NlcmlhbCI6OX1dfQ.tSZh9R3WpjlArNMn8rT1O6IRh0hMMnesFHwYpjDdSvB7TVXYEvwww0O2wcOTNB69Vp1IbVQpeGdz8DPElDLF8w"

// everyData has one good example of each struct, and of the optional shapes.
func everyData() map[string]Data {
	answer := Answer{Answers: testID(9), AnswersSHA256: DigestOf([]byte("question"))}
	items := []Item{{PaymentID: testID(1), AmountMinor: 1250, State: ItemPaid}, {PaymentID: testID(2), AmountMinor: 99, State: ItemReversed}}
	back := []Item{{PaymentID: testID(1), RefundID: testID(3), AmountMinor: 400, State: ItemRefunded}}
	head := &Head{Sequence: 40, Hash: DigestOf([]byte("event 40"))}
	one, two, three := testID(1), testID(2), testID(3)
	receipt := Receipt{Answer: answer, PaymentID: testID(1), Sequence: 41, Result: Accepted, State: StateTaken,
		AmountMinor: 1250, WalletRef: "W-1"}
	refused := receipt
	refused.Result, refused.State, refused.Reason, refused.AmountMinor = Refused, StateReversed, 0x09, 0
	exceptions := Exceptions{ListVersion: ListVersion{Version: 12, IssuedAt: At(testTime), Base: 11},
		Added: []string{"00112233445566aa"}, Removed: []string{"00112233445566ab"}}
	return map[string]Data{
		"authorisation":         Authorisation{payment(2)},
		"advice":                Advice{payment(1)},
		"report":                Report{payment(3)},
		"report-suspect":        Report{payment(5)},
		"reversal":              Reversal{Payment: payment(4)},
		"reversal-by-id":        Reversal{Payment: abandoned(payment(0))},
		"refund":                Refund{Payment: payment(6), RefundID: testID(3)},
		"refund-by-id":          Refund{Payment: payment(0), RefundID: testID(3)},
		"query":                 Query{testID(1)},
		"echo":                  Echo{},
		"echo-head":             Echo{Heads{Head: &Head{Sequence: 41, Hash: DigestOf([]byte("event 41"))}, Known: head}},
		"advice-abandoned":      Advice{abandoned(payment(1))},
		"state":                 State{Online: true, Session: 7, Since: At(testTime), Version: "1.0.0", Waiting: 2},
		"reconciliation":        Reconciliation{BusinessDay: "2026-11-24", Currency: "CNY", Summary: Summarise("CNY", items), Refunds: Summarise("CNY", back), Heads: Heads{Head: head}},
		"reconciliation-ranges": Reconciliation{BusinessDay: "2026-11-24", Currency: "CNY", Summary: Summarise("CNY", items), Refunds: Summarise("CNY", back), Through: 163, Ranges: []Range{{Of: BookPayments, To: &two, Summary: Summarise("CNY", items[:1])}, {Of: BookPayments, From: &two, To: &three, Summary: Summarise("CNY", items[1:])}, {Of: BookRefunds, From: &one, Summary: Summarise("CNY", back)}}},
		"receipt":               receipt,
		"receipt-refused":       refused,
		"status":                Status{Answer: answer, PaymentID: testID(1), State: StateTaken, AmountMinor: 1250, Receipt: &receipt},
		"status-unknown":        Status{Answer: answer, PaymentID: testID(1), State: StateUnknown},
		"reconciliation-answer": ReconciliationAnswer{Answer: answer, BusinessDay: "2026-11-24", Currency: "CNY", Summary: Summarise("CNY", items), Refunds: Summarise("CNY", back), First: 4, Last: 160, Head: head,
			Ranges: []RangeAnswer{{Match: true, Summary: Summarise("CNY", items[:1])}, {Summary: Summarise("CNY", items), Items: items}, {Summary: Summarise("CNY", back), Middle: &three}}},
		"echo-answer":      EchoAnswer{Answer: answer},
		"echo-answer-head": EchoAnswer{answer, head},
		"state-applied": State{Online: true, Session: 7, Since: At(testTime), Version: "1.0.0",
			Applied: &Applied{Config: 3, Revocations: 4, Exceptions: 12, Command: 7}},
		"config":              Config{Serial: 3, NotAfter: At(testTime), SHA256: DigestOf([]byte("bundle")), Bundle: Base64("bundle")},
		"hotlist":             Hotlist{Exceptions: &exceptions, Revocations: testRevocations},
		"hotlist-revocations": Hotlist{Revocations: testRevocations},
		"command":             Command{Number: 7, NotAfter: At(testTime), Order: OrderReconcile, BusinessDay: "2026-11-24"},
		"command-suspend":     Command{Number: 8, NotAfter: At(testTime), Order: OrderSuspend, Reason: "stocktaking"},
	}
}

// headerFor gives journal messages a number.
func headerFor(d Data) Header {
	h := Header{ID: testID(9), Time: testTime}
	if d.Kind().money() {
		h.Sequence = 41
	}
	return h
}

// same compares data; a record counts by its bytes.
func same(a, b Data) bool {
	ra, oka := recordIn(a)
	rb, okb := recordIn(b)
	return oka == okb && bytes.Equal(ra, rb) && reflect.DeepEqual(without(a), without(b))
}

func recordIn(d Data) ([]byte, bool) {
	p, ok := d.(interface{ clear() (ID, Record) })
	if !ok {
		return nil, false
	}
	_, r := p.clear()
	return r.Bytes(), true
}

func without(d Data) Data {
	switch m := d.(type) {
	case Authorisation:
		m.Record = Record{}
		return m
	case Advice:
		m.Record = Record{}
		return m
	case Report:
		m.Record = Record{}
		return m
	case Reversal:
		m.Record = Record{}
		return m
	case Refund:
		m.Record = Record{}
		return m
	}
	return d
}
