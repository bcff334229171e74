package endtoend_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// publicKey has the contract's public-key operations, bare.
type publicKey struct {
	ed        ed25519.PrivateKey
	message   []byte
	signature []byte
	ec        *ecdsa.PrivateKey
	digest    [32]byte
	asn1      []byte
	dh        *ecdh.PrivateKey
	peer      *ecdh.PublicKey
}

func newPublicKey(b *testing.B) *publicKey {
	b.Helper()
	p := &publicKey{message: make([]byte, 3500), digest: sha256.Sum256([]byte("evidence"))}
	var err error
	if _, p.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		b.Fatal(err)
	}
	p.signature = ed25519.Sign(p.ed, p.message)
	if p.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		b.Fatal(err)
	}
	if p.asn1, err = ecdsa.SignASN1(rand.Reader, p.ec, p.digest[:]); err != nil {
		b.Fatal(err)
	}
	if p.dh, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
		b.Fatal(err)
	}
	p.peer = p.dh.PublicKey()
	return p
}

// sealing is the terminal's part before a message leaves: it signs, and encrypts
// the record to an ephemeral key.
func (p *publicKey) sealing() {
	ed25519.Sign(p.ed, p.message)
	if k, err := ecdh.P256().GenerateKey(rand.Reader); err == nil {
		_, _ = k.ECDH(p.peer)
	}
}

// settling is what follows: the wallet verifies the message, decrypts the record,
// verifies the phone's evidence and signs a receipt, which the terminal verifies.
// The certificates of issuer and phone are verified once a phone, not here.
func (p *publicKey) settling() {
	public := p.ed.Public().(ed25519.PublicKey)
	ed25519.Verify(public, p.message, p.signature)
	_, _ = p.dh.ECDH(p.peer)
	ecdsa.VerifyASN1(&p.ec.PublicKey, p.digest[:], p.asn1)
	ed25519.Sign(p.ed, p.message[:700])
	ed25519.Verify(public, p.message, p.signature)
}

// settlingRate is how many payments a second all cores could settle if they did
// nothing but these operations, and the processor time that each takes.
func (p *publicKey) settlingRate(during time.Duration) (rate float64, each time.Duration) {
	var n atomic.Int64
	var all sync.WaitGroup
	began, before := time.Now(), own()
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for time.Since(began) < during {
				p.settling()
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(began).Seconds(), (own() - before) / time.Duration(n.Load())
}
