package channel

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
)

// SignatureSize is the size of r ‖ s (suite E1, scheme 1.2).
const SignatureSize = 64

// SignKey is a P-256 private key for signatures: d_CA, d_I or ds. It cannot be
// printed.
type SignKey struct{ open func() *ecdsa.PrivateKey }

// NewSignKey reads a scalar of 32 bytes, which must be in 1..n-1.
func NewSignKey(d []byte) (SignKey, error) {
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return SignKey{}, errors.New("read signing key: scalar out of range")
	}
	return SignKey{open: func() *ecdsa.PrivateKey { return k }}, nil
}

// Scalar returns the private scalar.
func (k SignKey) Scalar() (Secret, error) {
	b, err := k.open().Bytes()
	if err != nil {
		return Secret{}, fmt.Errorf("code signing key: %w", err)
	}
	return NewSecret(b), nil
}

// Sign signs SHA-256 of the parts with an RFC 6979 nonce.
func (k SignKey) Sign(parts ...[]byte) ([]byte, error) {
	der, err := k.open().Sign(nil, digest(parts), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return flatten(der)
}

// Public returns the verifying key.
func (k SignKey) Public() VerifyKey { return VerifyKey{key: &k.open().PublicKey} }

// VerifyKey is a P-256 public key for signatures. The zero VerifyKey verifies
// nothing.
type VerifyKey struct{ key *ecdsa.PublicKey }

// NewVerifyKey reads a SEC1 compressed point.
func NewVerifyKey(compressed []byte) (VerifyKey, error) {
	u, err := uncompressed(compressed)
	if err != nil {
		return VerifyKey{}, err
	}
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), u)
	if err != nil {
		return VerifyKey{}, ErrPoint
	}
	return VerifyKey{key: k}, nil
}

// Compressed codes the key as SEC1 compressed.
func (k VerifyKey) Compressed() ([33]byte, error) {
	if k.key == nil {
		return [33]byte{}, ErrPoint
	}
	u, err := k.key.Bytes()
	if err != nil {
		return [33]byte{}, fmt.Errorf("code public key: %w", err)
	}
	return compress(u), nil
}

// Verify checks r ‖ s over SHA-256 of the parts; high and low s are good
// (scheme 1.2).
func (k VerifyKey) Verify(signature []byte, parts ...[]byte) bool {
	if k.key == nil || len(signature) != SignatureSize {
		return false
	}
	var buf [maxDER]byte
	return ecdsa.VerifyASN1(k.key, digest(parts), unflatten(buf[:0], signature))
}

func digest(parts [][]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// maxDER is a SEQUENCE of two INTEGERs of 33 bytes.
const maxDER = 2 + 2*(2+33)

// unflatten turns r ‖ s into the DER form that crypto/ecdsa reads. A value that
// is not in 1..n-1 stays one, and is refused there.
func unflatten(dst, signature []byte) []byte {
	dst = append(dst, 0x30, 0)
	for _, n := range [2][]byte{signature[:32], signature[32:]} {
		for len(n) > 1 && n[0] == 0 {
			n = n[1:]
		}
		if n[0] < 0x80 {
			dst = append(append(dst, 0x02, byte(len(n))), n...)
		} else { // DER integers are signed
			dst = append(append(dst, 0x02, byte(len(n)+1), 0), n...)
		}
	}
	dst[1] = byte(len(dst) - 2)
	return dst
}

// flatten turns the DER form that crypto/ecdsa writes into r ‖ s.
func flatten(der []byte) ([]byte, error) {
	out := make([]byte, SignatureSize)
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errors.New("sign: signature is not DER")
	}
	rest := der[2:]
	for i := range 2 {
		if len(rest) < 2 || rest[0] != 0x02 || int(rest[1]) > len(rest)-2 {
			return nil, errors.New("sign: signature is not DER")
		}
		n := new(big.Int).SetBytes(rest[2 : 2+int(rest[1])])
		if n.BitLen() > 256 {
			return nil, errors.New("sign: signature out of range")
		}
		n.FillBytes(out[32*i : 32*i+32])
		rest = rest[2+int(rest[1]):]
	}
	return out, nil
}
