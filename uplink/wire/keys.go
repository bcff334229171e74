package wire

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// SigningKey is a private Ed25519 key. It never prints.
type SigningKey struct{ private func() ed25519.PrivateKey }

// NewSigningKey wraps a private key.
func NewSigningKey(k ed25519.PrivateKey) (SigningKey, error) {
	if len(k) != ed25519.PrivateKeySize {
		return SigningKey{}, errors.New("signing key: not an Ed25519 private key")
	}
	return SigningKey{func() ed25519.PrivateKey { return k }}, nil
}

// Public is the key that the other side needs; nil of a zero SigningKey.
func (k SigningKey) Public() ed25519.PublicKey {
	if k.private == nil {
		return nil
	}
	return k.private().Public().(ed25519.PublicKey)
}

// Format keeps the key out of every fmt verb.
func (k SigningKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[signing key]") }

// DecryptionKey is a private P-256 key. It never prints.
type DecryptionKey struct {
	private func() *ecdh.PrivateKey
	public  *ecdsa.PublicKey
	kid     string
}

// NewDecryptionKey wraps a private key.
func NewDecryptionKey(k *ecdsa.PrivateKey) (DecryptionKey, error) {
	if k == nil || k.Curve != elliptic.P256() {
		return DecryptionKey{}, errors.New("decryption key: not on P-256")
	}
	agree, err := k.ECDH()
	if err != nil {
		return DecryptionKey{}, fmt.Errorf("decryption key: %w", err)
	}
	return DecryptionKey{func() *ecdh.PrivateKey { return agree }, &k.PublicKey, KeyID(&k.PublicKey)}, nil
}

// Public is the key that terminals seal to; nil of a zero DecryptionKey.
func (k DecryptionKey) Public() *ecdsa.PublicKey { return k.public }

// Format keeps the key out of every fmt verb.
func (k DecryptionKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[decryption key]") }

// KeyID is the kid of an Ed25519 or P-256 public key: its RFC 7638 thumbprint
// (SHA-256, base64url). Empty for any other key.
func KeyID(public crypto.PublicKey) string {
	jwk := jose.JSONWebKey{Key: public}
	print, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(print)
}
