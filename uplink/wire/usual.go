package wire

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// layAside takes the sealed record out of a payload that ends with it, as ours
// do, so that the parser need not walk over it again and again; it is most of a
// message. What it gives back parses as the payload would, but for this one
// string, which is then empty.
//
// That is sure: the record holds neither quotes nor escapes, so it is one string.
// Nothing before it holds an escape or the name of the field, so no other field
// has that name: if a record is found, then this one.
func layAside(payload []byte) (rest []byte, record string) {
	const name, end = `"record"`, `"}}`
	body, ok := bytes.CutSuffix(payload, []byte(end))
	at := bytes.LastIndex(body, []byte(`,`+name+`:"`))
	if !ok || at < 0 {
		return payload, ""
	}
	before, sealed := body[:at], body[at+len(name)+3:]
	if bytes.IndexByte(before, '\\') >= 0 || bytes.Contains(before, []byte(name)) || !compactAlone(sealed) {
		return payload, ""
	}
	rest = make([]byte, 0, len(payload)-len(sealed))
	rest = append(append(rest, body[:len(body)-len(sealed)]...), end...)
	return rest, string(sealed)
}

// compactAlone holds that text is made of base64url and dots.
func compactAlone(text []byte) bool {
	for _, c := range text {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return len(text) > 0
}

// usualPoint reads the ephemeral key out of the header of a record that is
// spelt as ours are, for this key, sender and payment. What it does not recognise
// is not wrong. Nothing of an address, a kid or an id needs escaping.
func usualPoint(header []byte, kid string, from Address, payment ID) (x, y []byte, ok bool) {
	rest, ok := strings.CutPrefix(string(header), `{"alg":"ECDH-ES","enc":"A256GCM","epk":{"kty":"EC","crv":"P-256","x":"`)
	rest, ok2 := strings.CutSuffix(rest, `"},"iss":"`+from.String()+`","kid":"`+kid+`","sub":"`+payment.String()+`"}`)
	first, second, ok3 := strings.Cut(rest, `","y":"`)
	if !ok || !ok2 || !ok3 {
		return nil, nil, false
	}
	x, err := base64.RawURLEncoding.Strict().DecodeString(first)
	y, err2 := base64.RawURLEncoding.Strict().DecodeString(second)
	return x, y, err == nil && err2 == nil && len(x) == coordinate && len(y) == coordinate &&
		len(first) == coordinateText && len(second) == coordinateText // no line feed, which the decoder skips
}

// A coordinate of P-256, in bytes and in base64url.
const coordinate, coordinateText = 32, 43
