package wire

import (
	"bytes"
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

// newSigner signs with the standard library: a message's signature is made or
// verified for every payment, and a general library parses it several times.
func newSigner(k SigningKey, typ string) (signFunc, error) {
	if k.private == nil {
		return nil, errors.New("signing key: missing")
	}
	header := base64.RawURLEncoding.AppendEncode(nil, protectedHeader(KeyID(k.Public()), typ))
	return func(payload []byte) ([]byte, error) {
		length := len(header) + 2 + base64.RawURLEncoding.EncodedLen(len(payload)) + base64.RawURLEncoding.EncodedLen(ed25519.SignatureSize)
		if length > MaxMessage {
			return nil, ErrTooLarge
		}
		jws := append(append(make([]byte, 0, length), header...), '.')
		jws = base64.RawURLEncoding.AppendEncode(jws, payload)
		signature := ed25519.Sign(k.private(), jws)
		return base64.RawURLEncoding.AppendEncode(append(jws, '.'), signature), nil
	}, nil
}

// protectedHeader is the header that a key's messages have, in the spelling that
// we write. A kid is base64url: it needs no escaping.
func protectedHeader(kid, typ string) []byte {
	return fmt.Appendf(nil, `{"alg":"EdDSA","kid":"%s","typ":"%s"}`, kid, typ)
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
	part, kid, err := readHeader(raw, string(jose.EdDSA), typ)
	if err != nil {
		return nil, err
	}
	key, err := find(kid)
	if err != nil {
		return nil, fmt.Errorf("look up the sender's key: %w", err)
	}
	if len(key) != ed25519.PublicKeySize || KeyID(key) != kid {
		return nil, named(faultKey, fmt.Errorf("unknown key: %w", ErrSignature))
	}
	signed := raw[:bytes.LastIndexByte(raw, '.')]
	if !ed25519.Verify(key, signed, part[2]) {
		return nil, ErrSignature
	}
	return part[1], nil
}

// usualKid reads a header that is spelt as ours are, without a parser: nearly all
// are. What it does not recognise is not wrong.
func usualKid(header []byte, alg, typ string) (string, bool) {
	rest, ok := strings.CutPrefix(string(header), `{"alg":"`+alg+`","kid":"`)
	kid, ok2 := strings.CutSuffix(rest, `","typ":"`+typ+`"}`)
	const thumbprint = 43 // SHA-256 in base64url
	if !ok || !ok2 || len(kid) != thumbprint || strings.ContainsAny(kid, "\"\\") {
		return "", false
	}
	return kid, true
}

// readHeader splits a compact JWS and gives its kid. It must be one of the
// algorithm and the type that are wanted: neither is taken from the header.
func readHeader(raw []byte, alg, typ string) (part [][]byte, kid string, err error) {
	if len(raw) > MaxMessage {
		return nil, "", ErrTooLarge
	}
	if part, err = splitCompact(string(raw), 3); err != nil {
		return nil, "", named(faultUnsigned, fmt.Errorf("read JWS: %w", err))
	}
	if kid, ok := usualKid(part[0], alg, typ); ok {
		return part, kid, nil
	}
	var h jwsHeader
	// The cause is left out: before the signature is known to be good, a
	// stranger's bytes do not belong in an error text.
	if onlyFields(part[0], "alg", "kid", "typ") != nil || json.Unmarshal(part[0], &h) != nil {
		return nil, "", named(faultUnsigned, errors.New("read JWS header: want alg, kid and typ alone"))
	}
	if h.Algorithm != alg || h.Type != typ {
		return nil, "", named(faultUnsigned, fmt.Errorf("JWS header: not %s of a %s: %w", alg, typ, ErrSignature))
	}
	return part, h.KeyID, nil
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
