package dispute

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"tapkeeper/uplink/wire"
)

func uuid(n byte) wire.ID {
	return wire.ID{0x01, 0x90, 0xa5, 0xd4, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
}

// paid is a payment that the wallet has taken by its advice.
func paid() payment {
	advice, reversal, report := uuid(2), uuid(3), uuid(4)
	return payment{ID: uuid(1), AmountMinor: 1250, Currency: "CNY", State: "approved", Settlement: "settled",
		Advice: &advice, Reversal: &reversal, Report: &report}
}

func taken() wire.Receipt {
	return wire.Receipt{Answer: wire.Answer{Answers: uuid(2), AnswersSHA256: wire.DigestOf([]byte("advice"))}, PaymentID: uuid(1),
		Sequence: 4, Result: wire.Accepted, State: wire.StateTaken, AmountMinor: 1250, WalletRef: "W-1"}
}

// TestReceipts: the wallet itself has signed, and still it is not this payment's receipt.
func TestReceipts(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := wire.NewSigningKey(private)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	decryption, err := wire.NewDecryptionKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	wallet, err := wire.NewWallet(wire.WalletKeys{Signing: signing, Decryption: decryption,
		Terminal: func(wire.Address, string) (ed25519.PublicKey, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	address := wire.Address{Merchant: "shop", Terminal: "till-1"}
	with := func(change func(*wire.Receipt)) wire.Data { r := taken(); change(&r); return r }
	inside := taken()
	for name, c := range map[string]struct {
		data    wire.Data
		to      wire.Address
		answers wire.ID
		want    string // "" when it is good
	}{
		"good":              {taken(), address, uuid(2), ""},
		"within a status":   {wire.Status{Answer: wire.Answer{Answers: uuid(9), AnswersSHA256: wire.DigestOf(nil)}, PaymentID: uuid(1), State: wire.StateTaken, AmountMinor: 1250, Receipt: &inside}, address, uuid(2), ""},
		"empty status":      {wire.Status{Answer: wire.Answer{Answers: uuid(9), AnswersSHA256: wire.DigestOf(nil)}, PaymentID: uuid(1), State: wire.StateUnknown}, address, uuid(2), "without a receipt"},
		"an echo":           {wire.EchoAnswer{Answer: taken().Answer}, address, uuid(2), "another kind"},
		"another payment":   {with(func(r *wire.Receipt) { r.PaymentID = uuid(8) }), address, uuid(2), "of another payment"},
		"another amount":    {with(func(r *wire.Receipt) { r.AmountMinor = 1249 }), address, uuid(2), "speaks of 1249"},
		"took nothing":      {with(func(r *wire.Receipt) { r.AmountMinor = 0 }), address, uuid(2), "speaks of 0"},
		"another message":   {with(func(r *wire.Receipt) { r.Answers = uuid(8) }), address, uuid(8), "no message of this payment"},
		"under another id":  {taken(), address, uuid(3), "no message of this payment"},
		"another terminal":  {taken(), wire.Address{Merchant: "shop", Terminal: "till-2"}, uuid(2), "not a receipt"},
		"another merchant":  {taken(), wire.Address{Merchant: "shop-2", Terminal: "till-1"}, uuid(2), "not a receipt"},
		"reversed nothing":  {with(func(r *wire.Receipt) { r.Answers, r.State, r.AmountMinor = uuid(3), wire.StateReversed, 0 }), address, uuid(3), ""},
		"reversed too much": {with(func(r *wire.Receipt) { r.Answers, r.State, r.AmountMinor = uuid(3), wire.StateReversed, 1251 }), address, uuid(3), "speaks of 1251"},
		"report":            {with(func(r *wire.Receipt) { r.Answers, r.AmountMinor = uuid(4), 0 }), address, uuid(4), ""},
	} {
		raw, err := wallet.Seal(c.to, wire.Header{ID: uuid(7), Time: time.Unix(1_800_000_000, 0)}, c.data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v := &verification{e: &Evidence{Merchant: "shop", Terminal: "till-1"}, p: paid(), keys: Keys{Wallet: public}}
		_, _, err = v.receipt(Receipt{Answers: c.answers.String(), JWS: string(raw)})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestSettled: which receipts a settlement needs.
func TestSettled(t *testing.T) {
	refused := func(n byte) wire.Receipt {
		r := taken()
		r.Answers, r.Result, r.State, r.Reason, r.AmountMinor = uuid(n), wire.Refused, wire.StateRefused, 0x02, 0
		return r
	}
	reversed := taken()
	reversed.Answers, reversed.State = uuid(3), wire.StateReversed
	request := uuid(2)
	for _, c := range []struct {
		state, settlement string
		asked             bool // the message 2 is an authorisation
		receipts          []wire.Receipt
		ok                bool
	}{
		{"approved", "settled", false, []wire.Receipt{taken()}, true},
		{"approved", "settled", true, []wire.Receipt{taken()}, true},
		{"approved", "settled", false, nil, false},
		{"approved", "settled", false, []wire.Receipt{refused(2)}, false},
		{"approved", "settled", false, []wire.Receipt{taken(), reversed}, false},
		{"approved", "none", false, []wire.Receipt{taken()}, false},
		{"stored", "queued", false, nil, true},
		{"stored", "rejected", false, []wire.Receipt{refused(2)}, true},
		{"stored", "rejected", false, []wire.Receipt{taken()}, false},
		{"failed", "reversed", false, []wire.Receipt{reversed}, true},
		{"failed", "reversed", false, []wire.Receipt{taken()}, false},
		{"failed", "queued", false, nil, true},
		{"declined", "none", true, []wire.Receipt{refused(2)}, true},
		{"declined", "none", true, []wire.Receipt{taken()}, false},
		{"declined", "none", false, nil, true},
	} {
		v := &verification{p: paid()}
		v.p.State, v.p.Settlement = c.state, c.settlement
		if c.asked {
			v.p.Request, v.p.Advice = &request, nil
		}
		if err := v.settled(c.receipts); (err == nil) != c.ok {
			t.Errorf("%s, %s with %d receipts: %v", c.state, c.settlement, len(c.receipts), err)
		}
	}
}
