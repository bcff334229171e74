package vault

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
)

// Size is the length of a master key.
const Size = 32

var (
	errClosed = errors.New("the key was closed")
	errHex    = errors.New("want 32 bytes in hex")
)

// Key is a master key in pages of its own. It holds a function and no bytes, so
// that no way of printing it shows them.
type Key struct {
	use   func(fn func(master []byte) error) error
	close func() error
}

// Random draws a new key.
func Random() (*Key, error) {
	return newKey(func(master []byte) error {
		_, err := rand.Read(master)
		return err
	})
}

// newKey makes the pages and lets fill write into them.
func newKey(fill func(master []byte) error) (*Key, error) {
	p, err := newPage()
	if err != nil {
		return nil, err
	}
	if err := fill(p.bytes[:Size]); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := p.shut(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	var mu sync.Mutex
	closed := false
	k := &Key{}
	k.use = func(fn func([]byte) error) (err error) {
		mu.Lock()
		defer mu.Unlock()
		if closed {
			return errClosed
		}
		if err := p.open(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.shut()) }()
		return fn(p.bytes[:Size:Size])
	}
	k.close = func() error {
		mu.Lock()
		defer mu.Unlock()
		if closed {
			return nil
		}
		closed = true
		return p.close()
	}
	return k, nil
}

// Use shows fn the key. The bytes are fn's only while it runs, and only to read.
func (k *Key) Use(fn func(master []byte) error) error { return k.use(fn) }

// Close wipes the key.
func (k *Key) Close() error {
	if k == nil || k.close == nil {
		return nil
	}
	return k.close()
}

// Equal says whether two keys are one; it takes the same time for all.
func (k *Key) Equal(other *Key) (same bool, err error) {
	if k == other {
		return true, nil
	}
	err = k.Use(func(a []byte) error {
		return other.Use(func(b []byte) error {
			same = subtle.ConstantTimeCompare(a, b) == 1
			return nil
		})
	})
	return same, err
}

// Format prints no key.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[key]")) }

// MarshalText refuses to make one of a key.
func (k *Key) MarshalText() ([]byte, error) { return nil, errors.New("a key has no text") }

// fromHex makes a key of its hexadecimal form, which may end with white space. It
// copies nothing anywhere else.
func fromHex(text []byte) (*Key, error) {
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r' || text[len(text)-1] == ' ') {
		text = text[:len(text)-1]
	}
	if len(text) != 2*Size {
		return nil, errHex
	}
	return newKey(func(master []byte) error {
		if _, err := hex.Decode(master, text); err != nil {
			return errHex // the library's error shows a byte
		}
		return nil
	})
}
