package channel

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// ErrPoint is wrapped when bytes are not a point of the curve.
var ErrPoint = errors.New("not a point of P-256")

// AgreeKey is a P-256 private key for key agreement: dk, dc or r. It cannot be
// printed.
type AgreeKey struct{ open func() *ecdh.PrivateKey }

// NewAgreeKey reads a scalar of 32 bytes, which must be in 1..n-1.
func NewAgreeKey(d []byte) (AgreeKey, error) {
	k, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		return AgreeKey{}, errors.New("read private key: scalar out of range")
	}
	return AgreeKey{open: func() *ecdh.PrivateKey { return k }}, nil
}

// maxDraws bounds the search for a scalar in range: one draw fails with
// probability 2^-32, so a second failure already means a broken source.
const maxDraws = 8

// DrawAgreeKey draws a scalar: 32 bytes from random, again while out of range.
func DrawAgreeKey(random io.Reader) (AgreeKey, error) {
	var d [32]byte
	for range maxDraws {
		if _, err := io.ReadFull(random, d[:]); err != nil {
			return AgreeKey{}, fmt.Errorf("draw private key: %w", err)
		}
		if k, err := NewAgreeKey(d[:]); err == nil {
			return k, nil
		}
	}
	return AgreeKey{}, errors.New("draw private key: random source gives no scalar in range")
}

// Scalar returns the private scalar.
func (k AgreeKey) Scalar() Secret { return NewSecret(k.open().Bytes()) }

// Public returns the public point.
func (k AgreeKey) Public() *ecdh.PublicKey { return k.open().PublicKey() }

// XY returns the public point as x ‖ y, the form of tag 9E (scheme 1.3).
func (k AgreeKey) XY() []byte { return k.Public().Bytes()[1:] }

// ECDH returns the x coordinate of the product (scheme 6.1).
func (k AgreeKey) ECDH(peer *ecdh.PublicKey) (Secret, error) {
	z, err := k.open().ECDH(peer)
	if err != nil {
		return Secret{}, errors.New("key agreement failed")
	}
	return NewSecret(z), nil
}

// PointX returns the point with x coordinate x and even y (scheme 6.1).
func PointX(x []byte) (*ecdh.PublicKey, error) {
	if len(x) != 32 {
		return nil, fmt.Errorf("%w: x of %d bytes", ErrPoint, len(x))
	}
	return PointCompressed(append([]byte{0x02}, x...))
}

// PointXY reads x ‖ y.
func PointXY(xy []byte) (*ecdh.PublicKey, error) {
	if len(xy) != 64 {
		return nil, fmt.Errorf("%w: x and y of %d bytes", ErrPoint, len(xy))
	}
	p, err := ecdh.P256().NewPublicKey(append([]byte{0x04}, xy...))
	if err != nil {
		return nil, ErrPoint
	}
	return p, nil
}

// PointCompressed reads a SEC1 compressed point (scheme 1.3).
func PointCompressed(b []byte) (*ecdh.PublicKey, error) {
	u, err := uncompressed(b)
	if err != nil {
		return nil, err
	}
	p, err := ecdh.P256().NewPublicKey(u)
	if err != nil {
		return nil, ErrPoint
	}
	return p, nil
}

func uncompressed(b []byte) ([]byte, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), b)
	if x == nil {
		return nil, ErrPoint
	}
	return xy(x, y), nil
}

func xy(x, y *big.Int) []byte {
	out := make([]byte, 65)
	out[0] = 0x04
	x.FillBytes(out[1:33])
	y.FillBytes(out[33:])
	return out
}

// Compress codes a point as SEC1 compressed, the form of the certificates.
func Compress(p *ecdh.PublicKey) [33]byte { return compress(p.Bytes()) }

func compress(u []byte) (out [33]byte) {
	out[0] = 0x02 | u[64]&1
	copy(out[1:], u[1:33])
	return out
}

// Blinded reports the blinding check of scheme 2.5 step 16: 1 <= r < n and
// x(r·Qd) equals the x received in 9F8103.
func Blinded(r Secret, qd *ecdh.PublicKey, pcX []byte) bool {
	k, err := NewAgreeKey(r.Bytes())
	if err != nil { // r is not in 1..n-1
		return false
	}
	x, err := k.ECDH(qd)
	return err == nil && x.Equal(NewSecret(pcX))
}
