package wire

import (
	"crypto/ecdsa"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// Revocations are changes of the scheme's list of revoked certificates
// (scheme 2.5, steps 5 and 10). The CA of the scheme signs them, the wallet only
// carries them.
type Revocations struct {
	RID string `json:"rid"` // 10 lower-case hex digits
	ListVersion
	Added   []Revocation `json:"added,omitempty"`
	Removed []Revocation `json:"removed,omitempty"`
}

// Revocation names an issuer certificate, or with a DeviceSerial only a device
// certificate of it.
type Revocation struct {
	Index        uint8  `json:"index"` // of the CA key
	IssuerSerial uint32 `json:"issuer_serial"`
	DeviceSerial string `json:"device_serial,omitempty"` // 12 lower-case hex digits
}

// SealRevocations signs a list as the scheme's CA: a compact JWS with ES256.
func SealRevocations(ca *ecdsa.PrivateKey, r Revocations) (string, error) {
	if err := r.check(); err != nil {
		return "", fmt.Errorf("seal revocations: %w", err)
	}
	if ca == nil {
		return "", errors.New("seal revocations: no key")
	}
	key := jose.JSONWebKey{Key: ca, KeyID: KeyID(&ca.PublicKey)}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType(crlType))
	if err != nil {
		return "", fmt.Errorf("seal revocations: %w", err)
	}
	payload, err := stdjson.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("seal revocations: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("seal revocations: %w", err)
	}
	return jws.CompactSerialize()
}

// ReadRevocations gives the list in a JWS if this key of the scheme's CA has
// signed it.
func ReadRevocations(jws string, ca *ecdsa.PublicKey) (Revocations, error) {
	_, kid, err := readHeader([]byte(jws), string(jose.ES256), crlType)
	if err != nil {
		return Revocations{}, fmt.Errorf("revocations: %w", err)
	}
	if ca == nil || kid != KeyID(ca) {
		return Revocations{}, named(faultKey, fmt.Errorf("revocations: unknown CA key: %w", ErrSignature))
	}
	signed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return Revocations{}, fmt.Errorf("revocations: %w", err)
	}
	payload, err := signed.Verify(ca)
	if err != nil {
		return Revocations{}, fmt.Errorf("revocations: %w", ErrSignature)
	}
	return readRevocations(payload)
}

// readRevocations reads what the CA has signed.
func readRevocations(payload []byte) (Revocations, error) {
	var r Revocations
	if !utf8.Valid(payload) {
		return Revocations{}, errors.New("revocations: not UTF-8")
	}
	if err := json.Unmarshal(payload, &r); err != nil {
		return Revocations{}, fmt.Errorf("revocations: %w", err)
	}
	if err := r.check(); err != nil {
		return Revocations{}, fmt.Errorf("revocations: %w", err)
	}
	return r, nil
}

func (r Revocations) check() error {
	if !lowerHex(r.RID, 5) {
		return errors.New("rid: want 10 lower-case hex digits")
	}
	if err := r.ListVersion.check(); err != nil {
		return err
	}
	return checkChanges(r.Added, r.Removed, MaxRevoked, func(e Revocation) bool {
		return e.Index != 0 && (e.DeviceSerial == "" || lowerHex(e.DeviceSerial, 6))
	})
}
