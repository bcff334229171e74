// Package channel is the cryptography of the scheme (scheme 6 and 7.2): the
// blinded key agreement, the session keys and MACs between phone and terminal,
// the application cryptogram between phone and issuer, the signatures, and the
// values derived from keys. The kernel, the phone and the backend share it.
//
// It promises that its keys cannot be printed and that MACs are compared in
// constant time. It keeps no state, draws no randomness except from the reader
// it is given, and refuses every point that is not on the curve.
package channel

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/json"
	"fmt"
)

// Secret holds bytes that must not be printed. It holds a function, because
// fmt and encoding/json cannot look behind one, whatever the verb and however
// deep the value is buried.
type Secret struct{ open func() []byte }

// NewSecret copies b into a Secret.
func NewSecret(b []byte) Secret {
	c := append([]byte(nil), b...)
	return Secret{open: func() []byte { return c }}
}

// Bytes returns the bytes, nil for the zero Secret. Not to be changed.
func (s Secret) Bytes() []byte {
	if s.open == nil {
		return nil
	}
	return s.open()
}

// Len is the number of bytes.
func (s Secret) Len() int { return len(s.Bytes()) }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s.Bytes(), o.Bytes()) == 1 }

// Wipe overwrites the bytes, for keys that die with the tap (scheme 9.2).
func (s Secret) Wipe() { clear(s.Bytes()) }

const hidden = "[secret]"

// Format prints a fixed word for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalJSON writes a fixed word.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// KeySize is the size of every symmetric key of the scheme.
const KeySize = 16

// Key is an AES-128 key. The zero Key is not usable.
type Key struct {
	Secret
	block func() cipher.Block // a func, as fmt looks into everything else
}

// NewKey copies b, which must have KeySize bytes.
func NewKey(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("AES key of %d bytes, want %d", len(b), KeySize)
	}
	return keyOf([KeySize]byte(b)), nil
}

func keyOf(b [KeySize]byte) Key {
	c, err := aes.NewCipher(b[:])
	if err != nil {
		panic("channel: an AES-128 key has 16 bytes") // and this one does
	}
	return Key{Secret: NewSecret(b[:]), block: func() cipher.Block { return c }}
}
