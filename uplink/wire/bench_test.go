package wire

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
)

// What a stored payment costs on the wire, each step beside the public-key
// operation that the contract demands of it.
func BenchmarkStoredPayment(b *testing.B) {
	p := newParties(b)
	record := make([]byte, 1500)
	d := Advice{payment(1)}
	d.Record = NewRecord(record)
	raw, err := p.terminal.Seal(headerFor(d), d)
	if err != nil {
		b.Fatal(err)
	}
	m, err := p.wallet.Open(till.UpTopic(KindAdvice), raw)
	if err != nil {
		b.Fatal(err)
	}
	receipt := Receipt{Answer: m.Reply(), PaymentID: d.PaymentID, Sequence: 41, Result: Accepted, State: StateTaken, AmountMinor: 1250, WalletRef: "W"}
	answer, err := p.wallet.Seal(till, headerFor(receipt), receipt)
	if err != nil {
		b.Fatal(err)
	}
	key := testEd25519(1)
	signature := ed25519.Sign(key, raw)
	one, _ := ecdh.P256().GenerateKey(rand.Reader)
	other, _ := ecdh.P256().GenerateKey(rand.Reader)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"seal-advice", func() error { _, err := p.terminal.Seal(headerFor(d), d); return err }},
		{"open-advice", func() error { _, err := p.wallet.Open(till.UpTopic(KindAdvice), raw); return err }},
		{"seal-receipt", func() error { _, err := p.wallet.Seal(till, headerFor(receipt), receipt); return err }},
		{"open-receipt", func() error { _, err := p.terminal.Open(till.DownTopic(KindReceipt), answer); return err }},
		{"ed25519-sign", func() error { ed25519.Sign(key, raw); return nil }},
		{"ed25519-verify", func() error { ed25519.Verify(key.Public().(ed25519.PublicKey), raw, signature); return nil }},
		{"p256-ecdh", func() error { _, err := one.ECDH(other.PublicKey()); return err }},
		{"p256-generate", func() error { _, err := ecdh.P256().GenerateKey(rand.Reader); return err }},
	} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := step.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
