package queue

import (
	"crypto/sha256"
	"encoding/binary"
)

// change is one line of an event's list of what its commit did to the cells.
// With it the chain covers every stored value, not only the payloads: Verify
// notices a record that is missing, old, or was never committed.
type change struct {
	gone   bool
	class  byte
	kind   string // of a record; the id of an entry or park
	key    string // as in ring.cellKey
	digest [32]byte
}

// event is the plain text of an event's cell:
//
//	prev(32) payload-length payload first(8) depth(8) { op(1) class(1) kind-length kind key-length key [digest(32)] }
//
// first is the number of the first commit of the same batch: the anchor may
// trail the journal by this batch and no more. depth is the number of entries in
// the outbox after the commit. op is '+' with the SHA-256 of the cell's plain
// text, or '-'.
type event struct {
	seq     uint64
	prev    [32]byte
	payload []byte
	first   uint64
	depth   uint64
	changes []change
	tail    []byte // as read: first to the end
}

const eventDomain = "tapkeeper queue event 1\x00"

// encode returns the plain text and the event's hash:
// SHA-256(domain, seq, prev, SHA-256(payload), SHA-256(first to the end)).
func (e *event) encode() (plain []byte, hash [32]byte) {
	plain = append(make([]byte, 0, 64+len(e.payload)+96*len(e.changes)), e.prev[:]...)
	plain = appendString(plain, e.payload)
	mark := len(plain)
	plain = binary.BigEndian.AppendUint64(plain, e.first)
	plain = binary.BigEndian.AppendUint64(plain, e.depth)
	for _, c := range e.changes {
		op := byte('+')
		if c.gone {
			op = '-'
		}
		plain = append(plain, op, c.class)
		plain = appendString(plain, c.kind)
		plain = appendString(plain, c.key)
		if !c.gone {
			plain = append(plain, c.digest[:]...)
		}
	}
	return plain, e.hash(plain[mark:])
}

func (e *event) hash(tail []byte) [32]byte {
	body, rest := sha256.Sum256(e.payload), sha256.Sum256(tail)
	b := make([]byte, 0, len(eventDomain)+8+3*32)
	b = append(b, eventDomain...)
	b = binary.BigEndian.AppendUint64(b, e.seq)
	b = append(b, e.prev[:]...)
	b = append(b, body[:]...)
	return sha256.Sum256(append(b, rest[:]...))
}

func decodeEvent(seq uint64, plain []byte) (*event, [32]byte, error) {
	p := parser{rest: plain}
	e := &event{seq: seq, prev: p.hash()}
	e.payload = p.bytes(p.uvarint())
	e.tail = p.rest
	e.first, e.depth = p.uint64(), p.uint64()
	for !p.bad && len(p.rest) > 0 {
		var c change
		op := p.byte()
		c.class, c.gone = p.byte(), op == '-'
		c.kind, c.key = p.string(), p.string()
		if op == '+' {
			c.digest = p.hash()
		} else if op != '-' {
			p.bad = true
		}
		e.changes = append(e.changes, c)
	}
	if err := p.end(); err != nil {
		return nil, [32]byte{}, err
	}
	return e, e.hash(e.tail), nil
}
