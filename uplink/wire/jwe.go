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
	var h jweHeader
	if err := onlyFields(part[0], "alg", "enc", "kid", "iss", "sub", "epk"); err != nil {
		return Record{}, fmt.Errorf("record: header: %w", err)
	}
	if err := json.Unmarshal(part[0], &h); err != nil {
		return Record{}, fmt.Errorf("record: header: %w", err)
	}
	if h.Algorithm != string(jose.ECDH_ES) || h.Encryption != string(jose.A256GCM) {
		return Record{}, errors.New("record: not ECDH-ES with A256GCM")
	}
	if h.KeyID != k.kid {
		return Record{}, errors.New("record: sealed to another key")
	}
	if h.Issuer != from.String() || h.Subject != payment.String() {
		return Record{}, errors.New("record: sealed for another message")
	}
	key, err := k.agree(h.Ephemeral)
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

// agree derives the content key from an ephemeral key: RFC 7518, 4.6.2, with the
// standard library alone, for the same reason as newSigner.
func (k DecryptionKey) agree(ephemeral []byte) ([]byte, error) {
	if k.private == nil {
		return nil, errors.New("decryption key: missing")
	}
	var e epk
	if err := onlyFields(ephemeral, "kty", "crv", "x", "y"); err != nil {
		return nil, fmt.Errorf("epk: %w", err)
	}
	if err := json.Unmarshal(ephemeral, &e); err != nil {
		return nil, fmt.Errorf("epk: %w", err)
	}
	const coordinate = 32
	if e.KeyType != "EC" || e.Curve != "P-256" || len(e.X) != coordinate || len(e.Y) != coordinate {
		return nil, errors.New("epk: not a point of P-256")
	}
	// NewPublicKey refuses a point that is not on the curve.
	public, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, e.X, e.Y))
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
