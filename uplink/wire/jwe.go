package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// jweHeader is the whole protected header. Issuer and subject repeat the
// message's source and payment, so that a sealed record cannot be moved into
// another message (RFC 7519, 5.3).
type jweHeader struct {
	Algorithm  string          `json:"alg"`
	Encryption string          `json:"enc"`
	KeyID      string          `json:"kid"`
	Issuer     string          `json:"iss"`
	Subject    string          `json:"sub"`
	Ephemeral  json.RawMessage `json:"epk"`
}

// epk is the ephemeral key (RFC 7518, 6.2.1).
type epk struct {
	KeyType string `json:"kty"`
	Curve   string `json:"crv"`
	X       Base64 `json:"x"`
	Y       Base64 `json:"y"`
}

// sealRecord encrypts a record of the payment to the wallet. Its randomness is
// crypto/rand: the library takes no other for one call.
func sealRecord(to *ecdsa.PublicKey, from Address, payment ID, r Record) (string, error) {
	if to == nil || to.Curve != elliptic.P256() {
		return "", errors.New("wallet's encryption key: not on P-256")
	}
	options := (&jose.EncrypterOptions{}).
		WithHeader("iss", from.String()).
		WithHeader("sub", payment.String())
	encrypter, err := jose.NewEncrypter(jose.A256GCM,
		jose.Recipient{Algorithm: jose.ECDH_ES, Key: to, KeyID: KeyID(to)}, options)
	if err != nil {
		return "", fmt.Errorf("seal record: %w", err)
	}
	jwe, err := encrypter.Encrypt(r.Bytes())
	if err != nil {
		return "", fmt.Errorf("seal record: %w", err)
	}
	return jwe.CompactSerialize()
}

// openRecord decrypts what sealRecord made. Its errors carry no plain bytes.
func openRecord(k DecryptionKey, from Address, payment ID, compact string) (Record, error) {
	part, err := splitCompact(compact, 5)
	if err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	x, y, usual := usualPoint(part[0], k.kid, from, payment)
	if !usual {
		if x, y, err = readRecordHeader(part[0], k.kid, from, payment); err != nil {
			return Record{}, fmt.Errorf("record: %w", err)
		}
	}
	key, err := k.agree(x, y)
	if err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	iv, sealed, tag := part[2], part[3], part[4]
	if len(part[1]) != 0 || len(iv) != gcmNonce || len(tag) != gcmTag || len(sealed) == 0 || len(sealed) > MaxRecord {
		return Record{}, errors.New("record: empty, too large, or with a key of its own")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	header, _, _ := strings.Cut(compact, ".")
	plain, err := gcm.Open(nil, iv, append(sealed, tag...), []byte(header))
	if err != nil {
		return Record{}, errors.New("record: cannot be decrypted")
	}
	return NewRecord(plain), nil
}

const gcmNonce, gcmTag = 12, 16

// readRecordHeader gives the ephemeral key of a header for this key, sender and payment.
func readRecordHeader(header []byte, kid string, from Address, payment ID) (x, y []byte, err error) {
	var h jweHeader
	if err := onlyFields(header, "alg", "enc", "kid", "iss", "sub", "epk"); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if err := json.Unmarshal(header, &h); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	switch {
	case h.Algorithm != string(jose.ECDH_ES) || h.Encryption != string(jose.A256GCM):
		return nil, nil, errors.New("not ECDH-ES with A256GCM")
	case h.KeyID != kid:
		return nil, nil, errors.New("sealed to another key")
	case h.Issuer != from.String() || h.Subject != payment.String():
		return nil, nil, errors.New("sealed for another message")
	}
	var e epk
	if err := onlyFields(h.Ephemeral, "kty", "crv", "x", "y"); err != nil {
		return nil, nil, fmt.Errorf("epk: %w", err)
	}
	if err := json.Unmarshal(h.Ephemeral, &e); err != nil {
		return nil, nil, fmt.Errorf("epk: %w", err)
	}
	if e.KeyType != "EC" || e.Curve != "P-256" || len(e.X) != coordinate || len(e.Y) != coordinate {
		return nil, nil, errors.New("epk: not a point of P-256")
	}
	return e.X, e.Y, nil
}

// agree derives the content key from an ephemeral key: RFC 7518, 4.6.2, with the
// standard library alone, for the same reason as newSigner.
func (k DecryptionKey) agree(x, y []byte) ([]byte, error) {
	if k.private == nil {
		return nil, errors.New("decryption key: missing")
	}
	// NewPublicKey refuses a point that is not on the curve.
	public, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, errors.New("epk: not a point of P-256")
	}
	z, err := k.private().ECDH(public)
	if err != nil {
		return nil, errors.New("epk: no agreement")
	}
	key := sha256.Sum256(slices.Concat([]byte{0, 0, 0, 1}, z, otherInfo))
	return key[:], nil
}

// otherInfo is the algorithm, no party information, and 256 bits.
var otherInfo = []byte("\x00\x00\x00\x07A256GCM\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00")
