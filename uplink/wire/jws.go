package wire

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	// The fork that matches names by case and refuses duplicates: two readers
	// of one signed message must not read two things.
	"github.com/go-jose/go-jose/v4/json"
)

// jwsType separates messages from whatever else the same keys sign: the
// terminal's key also makes chain signatures (RFC 8725, 3.11).
const (
	jwsType      = "tapkeeper.message.v1"
	evidenceType = "tapkeeper.evidence.v1"
	crlType      = "tapkeeper.crl.v1"
)

type signFunc func(payload []byte) ([]byte, error)

func newSigner(k SigningKey, typ jose.ContentType) (signFunc, error) {
	if k.private == nil {
		return nil, errors.New("signing key: missing")
	}
	key := jose.JSONWebKey{Key: k.private(), KeyID: KeyID(k.Public())}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key},
		(&jose.SignerOptions{}).WithType(typ))
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return func(payload []byte) ([]byte, error) {
		jws, err := signer.Sign(payload)
		if err != nil {
			return nil, fmt.Errorf("sign message: %w", err)
		}
		s, err := jws.CompactSerialize()
		if err != nil {
			return nil, fmt.Errorf("sign message: %w", err)
		}
		if len(s) > MaxMessage {
			return nil, ErrTooLarge
		}
		return []byte(s), nil
	}, nil
}

// jwsHeader is the whole protected header; nothing else may stand in it, so that
// no jwk, jku, crit or b64 ever has a meaning.
type jwsHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// verify gives the payload of raw, of the type typ, if the key that find returns
// for its kid has signed it. find returns nil for a kid that it does not know.
func verify(raw []byte, typ string, find func(kid string) (ed25519.PublicKey, error)) ([]byte, error) {
	return verifyAs(jose.EdDSA, raw, typ, func(kid string) (crypto.PublicKey, error) {
		key, err := find(kid)
		if err != nil {
			return nil, fmt.Errorf("look up the sender's key: %w", err)
		}
		if len(key) != ed25519.PublicKeySize || KeyID(key) != kid {
			return nil, named(faultKey, fmt.Errorf("unknown key: %w", ErrSignature))
		}
		return key, nil
	})
}

// verifyAs is verify for any one algorithm. It is never taken from the header.
func verifyAs(alg jose.SignatureAlgorithm, raw []byte, typ string, find func(kid string) (crypto.PublicKey, error)) ([]byte, error) {
	if len(raw) > MaxMessage {
		return nil, ErrTooLarge
	}
	compact := string(raw)
	part, err := splitCompact(compact, 3)
	if err != nil {
		return nil, named(faultUnsigned, fmt.Errorf("read JWS: %w", err))
	}
	var h jwsHeader
	// The cause is left out: before the signature is known to be good, a
	// stranger's bytes do not belong in an error text.
	if onlyFields(part[0], "alg", "kid", "typ") != nil || json.Unmarshal(part[0], &h) != nil {
		return nil, named(faultUnsigned, errors.New("read JWS header: want alg, kid and typ alone"))
	}
	if h.Algorithm != string(alg) || h.Type != typ {
		return nil, named(faultUnsigned, fmt.Errorf("JWS header: not %s of a %s: %w", alg, typ, ErrSignature))
	}
	key, err := find(h.KeyID)
	if err != nil {
		return nil, err
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return nil, fmt.Errorf("read JWS: %w", err)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, ErrSignature
	}
	return payload, nil
}

// splitCompact decodes the parts of a compact JWS or JWE. Base64 is read
// strictly, so that one message has one spelling.
func splitCompact(compact string, parts int) ([][]byte, error) {
	split := strings.SplitN(compact, ".", parts+1)
	if len(split) != parts {
		return nil, fmt.Errorf("want %d parts", parts)
	}
	out := make([][]byte, parts)
	for i, s := range split {
		// The decoder skips line feeds; they would be a second spelling.
		if strings.ContainsAny(s, "\r\n") {
			return nil, errors.New("base64url: line feed")
		}
		b, err := base64.RawURLEncoding.Strict().DecodeString(s)
		if err != nil {
			return nil, fmt.Errorf("base64url: %w", err)
		}
		out[i] = b
	}
	return out, nil
}

// onlyFields holds that object is a JSON object with exactly these members.
func onlyFields(object []byte, names ...string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return err
	}
	if len(members) != len(names) {
		return errors.New("unexpected or missing member")
	}
	for _, n := range names {
		if _, ok := members[n]; !ok {
			return fmt.Errorf("no %s", n)
		}
	}
	return nil
}
