// Package archive carries a whole journal from one machine to another in a file.
//
// The file is sealed to one key that the other machine has made for this one use
// (HPKE, RFC 9180: X25519, HKDF-SHA-256, AES-256-GCM), and signed by the
// terminal (Ed25519). Open has verified the signature over every byte before
// anything is deciphered; Next gives the journal's items, each of them
// authenticated, and ends well only where the writer ended.
//
// The package refuses what is cut, changed, of another version, for another machine
// or of another terminal, with the reason, and knows nothing of what it carries.
//
//	"tapkeeper archive\n"
//	head length(4), head: JSON, to be read by anybody
//	encapsulated key length(4), encapsulated key
//	chunks: length(4), ciphertext of items, each with its length(4); 0(4) after the last
//	signature(64) over SHA-256 of all before
package archive

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	magic   = "tapkeeper archive\n"
	version = 1

	maxHead  = 4 << 10
	maxItem  = 512 << 10 // above the largest value of a journal
	chunk    = 64 << 10  // a chunk is closed above this
	maxChunk = chunk + maxItem + 1024
	signLen  = 64

	sealInfo   = "tapkeeper archive 1 seal\x00"
	signDomain = "tapkeeper archive 1 signature\x00"
)

// Head is what everybody may read of an archive.
type Head struct {
	Version  int       `json:"version"`
	Archive  string    `json:"archive"`
	Merchant string    `json:"merchant"`
	Terminal string    `json:"terminal"`
	To       string    `json:"to"` // the recipient
	Made     time.Time `json:"made"`
	Sequence uint64    `json:"sequence"` // of the journal's last event
	Hash     string    `json:"hash"`     // of it
}

// Refused says why an archive is not taken.
type Refused struct{ Why string }

func (r *Refused) Error() string { return "the archive is refused: " + r.Why }

func refuse(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }

var (
	kem  = hpke.DHKEM(ecdh.X25519())
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

const (
	recipientPrefix = "tapkeeper-import-"
	keyPrefix       = "TAPKEEPER-IMPORT-KEY-"
	checkLen        = 4
)

// Key opens archives that were made for it.
type Key struct{ private func() hpke.PrivateKey }

// NewKey makes one.
func NewKey() (*Key, error) {
	k, err := kem.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make an import key: %w", err)
	}
	return &Key{func() hpke.PrivateKey { return k }}, nil
}

// Recipient is the public half, to be typed or copied on the other machine.
func (k *Key) Recipient() string {
	b := k.private().PublicKey().Bytes()
	sum := sha256.Sum256(b)
	return recipientPrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:checkLen]...))
}

// Text is the key as it is kept in a file.
func (k *Key) Text() ([]byte, error) {
	b, err := k.private().Bytes()
	if err != nil {
		return nil, err
	}
	return []byte(keyPrefix + hex.EncodeToString(b) + "\n"), nil
}

// Format prints no key.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[key]")) }

// ParseKey reads what Text wrote.
func ParseKey(text []byte) (*Key, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(text)), keyPrefix)
	raw, err := hex.DecodeString(rest)
	if !ok || err != nil {
		return nil, errors.New("not an import key")
	}
	k, err := kem.NewPrivateKey(raw)
	if err != nil {
		return nil, errors.New("not an import key")
	}
	return &Key{func() hpke.PrivateKey { return k }}, nil
}

// CheckRecipient finds a recipient that was mistyped before anything is sealed to it.
func CheckRecipient(text string) error {
	_, err := parseRecipient(text)
	return err
}

func parseRecipient(text string) (hpke.PublicKey, error) {
	rest, ok := strings.CutPrefix(text, recipientPrefix)
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	if !ok || err != nil || len(raw) < checkLen {
		return nil, refuse("%.40q is no recipient: tapkeeper queue import-key prints one on the other machine", text)
	}
	b := raw[:len(raw)-checkLen]
	if sum := sha256.Sum256(b); string(sum[:checkLen]) != string(raw[len(b):]) {
		return nil, refuse("the recipient was not copied whole")
	}
	public, err := kem.NewPublicKey(b)
	if err != nil {
		return nil, refuse("the recipient is no key")
	}
	return public, nil
}
