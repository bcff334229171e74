package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"

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
	if h.KeyID != KeyID(k.Public()) {
		return Record{}, errors.New("record: sealed to another key")
	}
	if h.Issuer != from.String() || h.Subject != payment.String() {
		return Record{}, errors.New("record: sealed for another message")
	}
	jwe, err := jose.ParseEncryptedCompact(compact,
		[]jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	plain, err := jwe.Decrypt(k.private())
	if err != nil {
		return Record{}, errors.New("record: cannot be decrypted")
	}
	if len(plain) == 0 || len(plain) > MaxRecord {
		return Record{}, errors.New("record: empty or too large")
	}
	return NewRecord(plain), nil
}
