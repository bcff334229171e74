package conform

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"tapkeeper/uplink/wire"
)

const messageType = "tapkeeper.message.v1"

// header is the protected header that a message of this key has.
func header(k ed25519.PrivateKey) string {
	return fmt.Sprintf(`{"alg":"EdDSA","kid":"%s","typ":"%s"}`, wire.KeyID(k.Public()), messageType)
}

// sign makes a compact JWS of any header and payload.
func sign(k ed25519.PrivateKey, header string, payload []byte) []byte {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode(payload)
	return []byte(signed + "." + encode(ed25519.Sign(k, []byte(signed))))
}

// payload is what a compact JWS signs.
func (s *scene) payload(jws []byte) []byte {
	part := bytes.Split(jws, []byte("."))
	if len(part) != 3 {
		s.fail("the suite itself could not go on: not a JWS")
	}
	b, err := base64.RawURLEncoding.AppendDecode(nil, part[1])
	s.must(err)
	return b
}

// edit replaces one piece of a message's payload and signs it anew with the
// terminal's own key: genuine, and not what package wire would seal.
func (s *scene) edit(m sent, old, new string) sent {
	payload := s.payload(m.raw)
	if !bytes.Contains(payload, []byte(old)) {
		s.fail("the suite itself could not go on: %q is not in the message", old)
	}
	m.raw = sign(m.from.key, header(m.from.key), bytes.Replace(payload, []byte(old), []byte(new), 1))
	return m
}

// field replaces a member of the data.
func (s *scene) field(m sent, name string, value any) sent {
	var envelope, data map[string]any
	var raw struct {
		Data json.RawMessage `json:"data"`
	}
	payload := s.payload(m.raw)
	s.must(json.Unmarshal(payload, &raw))
	decode := func(b []byte, into *map[string]any) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber() // amounts stay exact
		s.must(d.Decode(into))
	}
	decode(payload, &envelope)
	decode(raw.Data, &data)
	if value == nil {
		delete(data, name)
	} else {
		data[name] = value
	}
	envelope["data"] = data
	changed, err := json.Marshal(envelope)
	s.must(err)
	m.raw = sign(m.from.key, header(m.from.key), changed)
	return m
}
