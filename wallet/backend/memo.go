package backend

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// memoMax bounds what a memo holds: the cards of a city's customers in a few MB.
const memoMax = 50_000

// memo remembers, by the hash of the bytes, what was found to be signed
// (scheme 2.5 allows it of certificates): the same bytes would be found so again.
// Dates, serials and lists are not of it; they are looked at each time.
type memo struct {
	mu   sync.Mutex
	good map[[32]byte]struct{}
}

// remember gives the answer of verify for these bytes, which must be all that it
// depends on. A no is not remembered: it would let strangers fill the memory.
func (m *memo) remember(verify func() bool, parts ...[]byte) bool {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write(p)
	}
	key := [32]byte(h.Sum(nil))
	m.mu.Lock()
	_, known := m.good[key]
	m.mu.Unlock()
	if known || !verify() {
		return known
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.good == nil || len(m.good) >= memoMax {
		m.good = map[[32]byte]struct{}{}
	}
	m.good[key] = struct{}{}
	return true
}
