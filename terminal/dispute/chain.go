package dispute

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// eventDomain is what event hashes of the journal begin with (docs/durability.md).
const eventDomain = "tapkeeper queue event 1\x00"

const pairSize = 2 * sha256.Size

func sha(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] }

// after is the point behind p: the hash of an event from its digests.
func (p Point) after(payload, changes []byte) Point {
	b := binary.BigEndian.AppendUint64([]byte(eventDomain), p.Sequence+1)
	b = append(b, p.Hash...)
	b = append(b, payload...)
	return Point{p.Sequence + 1, sha(append(b, changes...))}
}

func (p Point) is(o Point) bool { return p.Sequence == o.Sequence && bytes.Equal(p.Hash, o.Hash) }

// event is one event of the payment.
type event struct {
	At         time.Time `json:"at"`
	Payment    string    `json:"payment"`
	Revision   int       `json:"revision"`
	From       string    `json:"from"`
	To         string    `json:"to"`
	Settlement string    `json:"settlement"`
	Reason     int       `json:"reason"`
	By         string    `json:"by"` // set: somebody looked, and nothing changed
	Why        string    `json:"why"`

	seq uint64
}

// trail is what the chain of a file comes to.
type trail struct {
	events  []event
	stored  map[string][]byte // "kind key" of this payment's records -> digest of the last one
	head    Point
	gapFrom uint64 // events missing between segments, the last such gap
	gapTo   uint64
	others  int
}

// follow recomputes every hash. An error says what is broken.
func follow(e *Evidence, payment string) (*trail, error) {
	t := &trail{stored: map[string][]byte{}}
	if len(e.Chain) == 0 {
		return nil, errors.New("there is none")
	}
	for i, s := range e.Chain {
		if len(s.Anchor.Hash) != sha256.Size || len(s.Links) == 0 {
			return nil, fmt.Errorf("segment %d: no anchor or no link", i+1)
		}
		if i > 0 {
			if s.Anchor.Sequence <= t.head.Sequence {
				return nil, fmt.Errorf("segment %d does not come after the one before", i+1)
			}
			t.gapFrom, t.gapTo = t.head.Sequence+1, s.Anchor.Sequence
		}
		at := s.Anchor
		for _, l := range s.Links {
			var err error
			if at, err = t.link(at, l, payment); err != nil {
				return nil, fmt.Errorf("event %d: %w", at.Sequence+1, err)
			}
		}
		t.head = at
	}
	return t, nil
}

func (t *trail) link(at Point, l Link, payment string) (Point, error) {
	if (len(l.Event) == 0) == (len(l.Others) == 0) || len(l.Event) == 0 && len(l.Changes) != 0 || len(l.Others)%pairSize != 0 {
		return at, errors.New("neither an event of this payment nor digests of others")
	}
	for pairs := l.Others; len(pairs) > 0; pairs = pairs[pairSize:] {
		at = at.after(pairs[:sha256.Size], pairs[sha256.Size:pairSize])
		t.others++
	}
	if len(l.Event) == 0 {
		return at, nil
	}
	payload := compact(l.Event)
	e := event{seq: at.Sequence + 1}
	if err := json.Unmarshal(payload, &e); err != nil || e.Payment != payment {
		return at, errors.New("not an event of this payment")
	}
	if err := t.apply(l.Changes, payment); err != nil {
		return at, err
	}
	t.events = append(t.events, e)
	return at.after(sha(payload), sha(l.Changes)), nil
}

// apply notes what an event's commit did to the records of this payment. The
// layout is that of docs/durability.md.
func (t *trail) apply(changes []byte, payment string) error {
	if len(changes) < 16 {
		return errors.New("its changes cannot be read")
	}
	rest := changes[16:]
	field := func() (string, bool) {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return "", false
		}
		s := string(rest[used : used+int(n)])
		rest = rest[used+int(n):]
		return s, true
	}
	for len(rest) > 0 {
		if len(rest) < 2 {
			return errors.New("its changes cannot be read")
		}
		op, class := rest[0], rest[1]
		rest = rest[2:]
		kind, ok1 := field()
		key, ok2 := field()
		ours := class == 'r' && (key == payment || strings.HasPrefix(key, payment+"/"))
		switch {
		case !ok1 || !ok2 || op != '+' && op != '-' || op == '+' && len(rest) < sha256.Size:
			return errors.New("its changes cannot be read")
		case op == '-':
			delete(t.stored, kind+" "+key)
			continue
		case ours:
			t.stored[kind+" "+key] = rest[:sha256.Size]
		}
		rest = rest[sha256.Size:]
	}
	return nil
}

// cell is the digest that the journal's chain has of a record.
func cell(key string, value []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(len(key)))
	return sha(append(append(b, key...), value...))
}

// steps holds the payment's events against each other and against the payment:
// each revision once, in order, from the first to the one the payment has.
func (t *trail) steps(p *payment) error {
	revision, state := 0, "created"
	var last event
	for _, e := range t.events {
		if e.By != "" {
			if e.Revision != revision {
				return fmt.Errorf("event %d tells of revision %d, the payment had %d", e.seq, e.Revision, revision)
			}
			continue
		}
		if t.gapTo > 0 && e.seq > t.gapTo {
			return fmt.Errorf("events %d to %d are not shown, and they lie before the payment's event %d", t.gapFrom, t.gapTo, e.seq)
		}
		if e.Revision != revision+1 || e.From != state {
			return fmt.Errorf("event %d is revision %d from state %s; revision %d from state %s is missing or out of order", e.seq, e.Revision, e.From, revision+1, state)
		}
		revision, state, last = e.Revision, e.To, e
	}
	switch {
	case revision == 0:
		return errors.New("no event of this payment is there")
	case revision != p.Revision:
		return fmt.Errorf("the payment has revision %d, its last event %d", p.Revision, revision)
	case last.To != p.State || last.Settlement != p.Settlement || last.Reason != p.Reason:
		return errors.New("state, settlement or reason of the payment are not those of its last event")
	}
	return nil
}
