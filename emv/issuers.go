package emv

import (
	"crypto/sha256"
	"sync"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
)

// IssuerCache remembers the keys of issuer certificates whose signature has
// passed, by the hash of their bytes and of the CA's key (scheme 2.5, last
// paragraph). It saves one verification a tap; everything else about the
// certificate is checked every time. It may be used by many attempts at once; a
// nil *IssuerCache remembers nothing.
type IssuerCache struct {
	mu     sync.Mutex
	passed map[[32]byte]channel.VerifyKey
}

// maxIssuers bounds the cache: a scheme has a handful of issuer certificates,
// and a phone that invents others never gets one in.
const maxIssuers = 64

// key is step 7 of scheme 2.5: Q_I, if the certificate passes.
func (c *IssuerCache) key(i *cert.Issuer, ca CAKey) (channel.VerifyKey, bool) {
	id := sha256.Sum256(append(i.Encode(), ca.Key[:]...))
	if q, ok := c.recall(id); ok {
		return q, true
	}
	qCA, err := channel.NewVerifyKey(ca.Key[:])
	if err != nil {
		return channel.VerifyKey{}, false
	}
	q, ok := i.Authenticate(qCA)
	if ok {
		c.learn(id, q)
	}
	return q, ok
}

func (c *IssuerCache) recall(id [32]byte) (channel.VerifyKey, bool) {
	if c == nil {
		return channel.VerifyKey{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	q, ok := c.passed[id]
	return q, ok
}

func (c *IssuerCache) learn(id [32]byte, q channel.VerifyKey) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passed == nil || len(c.passed) >= maxIssuers {
		c.passed = map[[32]byte]channel.VerifyKey{}
	}
	c.passed[id] = q
}
