package emv

import (
	"crypto/sha256"
	"sync"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
)

// IssuerCache remembers issuer certificates whose signature has passed, by the
// hash of their bytes (scheme 2.5, last paragraph). It saves one verification
// a tap; everything else about the certificate is checked every time. It may
// be used by many attempts at once; a nil *IssuerCache remembers nothing.
type IssuerCache struct {
	mu     sync.Mutex
	passed map[[32]byte]bool
}

// maxIssuers bounds the cache: a scheme has a handful of issuer certificates,
// and a phone that invents others never gets one in.
const maxIssuers = 64

// signed is step 7 of scheme 2.5.
func (c *IssuerCache) signed(i cert.Issuer, ca CAKey) bool {
	id := sha256.Sum256(append(i.Encode(), ca.Key[:]...))
	if c.knows(id) {
		return true
	}
	q, err := channel.NewVerifyKey(ca.Key[:])
	if err != nil || !i.SignedBy(q) {
		return false
	}
	c.learn(id)
	return true
}

func (c *IssuerCache) knows(id [32]byte) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed[id]
}

func (c *IssuerCache) learn(id [32]byte) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passed == nil || len(c.passed) >= maxIssuers {
		c.passed = map[[32]byte]bool{}
	}
	c.passed[id] = true
}
