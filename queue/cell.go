package queue

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"sync"
)

// A cell is one value in Badger. Its key starts with the class of the cell.
//
//	record   'r' kind 0 HMAC(16)   key length, key, value
//	counter  'c' 0 HMAC(16)        name length, name, value (8)
//	event    'e' seq(8)            see event.go
//	entry    'o' seq(8) index(2)   priority(1), then id, group, kind, body, each with its length
//	aside    'p' seq(8) index(2)   1 parked or 2 held, reason
//
// The stored value is seq(8) nonce(12) ciphertext tag(16): the number of the
// commit that wrote it, and the right column under AES-256-GCM with the Badger
// key and seq as associated data. A cell moved to another key, or given another
// number, does not open.
const (
	classRecord  = 'r'
	classCounter = 'c'
	classEvent   = 'e'
	classEntry   = 'o'
	classPark    = 'p'

	hiddenLen    = 16          // of the HMAC: 128 bits against accidental equals, keyed against guessing
	sealOverhead = 8 + 12 + 16 // sequence, nonce, tag
)

// classNames are the words of DamageError.What.
var classNames = map[byte]string{
	classRecord: "record", classCounter: "counter", classEvent: "event", classEntry: "entry", classPark: "park",
}

// ring holds what the data key gives.
type ring struct {
	aead   cipher.AEAD
	index  sync.Pool // of *hider
	anchor []byte    // authenticates the anchor's slots
}

func newRing(dataKey []byte) (*ring, error) {
	var keys [3][]byte
	for i, use := range []string{"seal", "index", "anchor"} {
		k, err := hkdf.Expand(sha256.New, dataKey, "tapkeeper queue 1 "+use, 32)
		if err != nil {
			return nil, err
		}
		keys[i] = k
	}
	aead, err := newAEAD(keys[0])
	if err != nil {
		return nil, err
	}
	r := &ring{aead: aead, anchor: keys[2]}
	r.index.New = func() any { return &hider{mac: hmac.New(sha256.New, keys[1])} }
	return r, nil
}

// hider hides names. What it hands to the hash lives in it, not on the heap anew.
type hider struct {
	mac hash.Hash
	key []byte
	sum [sha256.Size]byte
}

func (h *hider) hide(prefix []byte, key string) []byte {
	h.mac.Reset()
	h.mac.Write(prefix)
	h.key = append(h.key[:0], key...)
	h.mac.Write(h.key)
	clear(h.key)
	return append(prefix, h.mac.Sum(h.sum[:0])[:hiddenLen]...)
}

// newAEAD draws its own nonces. 2^32 values under one key is the bound for
// random ones: at sixty values a payment, seventy million payments.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// cellKey returns the Badger key. The key of a record or counter is hidden; the
// others are numbers.
func (r *ring) cellKey(class byte, kind, key string) []byte {
	if class != classRecord && class != classCounter {
		return append([]byte{class}, key...)
	}
	h := r.index.Get().(*hider)
	defer r.index.Put(h)
	return h.hide(kindPrefix(class, kind), key)
}

func kindPrefix(class byte, kind string) []byte {
	out := make([]byte, 0, 2+len(kind)+hiddenLen)
	out = append(out, class)
	out = append(out, kind...)
	return append(out, 0)
}

func eventKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{classEvent}, seq)
}

func (r *ring) seal(cellKey []byte, seq uint64, plain []byte) []byte {
	var scratch []byte
	return r.sealWith(&scratch, cellKey, seq, plain)
}

// sealWith is seal with room for the associated data, which may be used again.
func (r *ring) sealWith(scratch *[]byte, cellKey []byte, seq uint64, plain []byte) []byte {
	out := binary.BigEndian.AppendUint64(make([]byte, 0, sealOverhead+len(plain)), seq)
	*scratch = append(append((*scratch)[:0], cellKey...), out[:8]...)
	return r.aead.Seal(out, nil, plain, *scratch)
}

var errSeal = errors.New("the seal does not fit")

// open never returns bytes that were not sealed under this very key and number.
func (r *ring) open(cellKey, stored []byte) (seq uint64, plain []byte, err error) {
	return r.openInto(nil, cellKey, stored)
}

// openInto is open with the plain text in buf, or in a larger one.
func (r *ring) openInto(buf, cellKey, stored []byte) (seq uint64, plain []byte, err error) {
	if len(stored) < sealOverhead {
		return 0, nil, errSeal
	}
	plain, err = r.aead.Open(buf[:0], nil, stored[8:], associated(cellKey, stored[:8]))
	if err != nil {
		return 0, nil, errSeal
	}
	return binary.BigEndian.Uint64(stored), plain, nil
}

func associated(cellKey, seq []byte) []byte {
	return append(append(make([]byte, 0, len(cellKey)+len(seq)), cellKey...), seq...)
}

// named puts a name before the value of a record or counter, because the
// Badger key does not tell it.
func named(name string, value []byte) []byte {
	return append(appendString(make([]byte, 0, len(name)+len(value)+2), name), value...)
}

func splitNamed(plain []byte) (name string, value []byte, err error) {
	p := parser{rest: plain}
	name = p.string()
	if p.bad {
		return "", nil, errLayout
	}
	return name, p.rest, nil
}
