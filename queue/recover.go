package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// recover holds the database against the anchor and rebuilds what is kept in
// memory. When it returns nil, everything that was acknowledged is there.
func (s *Store) recover() error {
	v := s.cells.Read()
	defer v.Close()
	last, head, err := s.lastEvent(v)
	if err != nil {
		return err
	}
	if err := s.matchAnchor(v, last, head); err != nil {
		return err
	}
	if err := s.loadOutbox(v, last.depth); err != nil {
		return err
	}
	if err := s.anchor.again(); err != nil {
		return err
	}
	if err := s.adopt(v, head.Seq); err != nil {
		return fmt.Errorf("write the last batch again: %w", err)
	}
	for range slotPages { // both: from here on either slot is good evidence
		if err := s.anchor.set(head); err != nil {
			return err
		}
	}
	s.show(head, nil)
	return nil
}

// lastEvent finds the end of the journal; an empty one ends at zero.
func (s *Store) lastEvent(v view) (last *event, head Committed, err error) {
	seq, err := lastSeq(v)
	if err != nil || seq == 0 {
		return &event{}, Committed{}, err
	}
	last, hash, err := s.readEvent(v, seq)
	return last, Committed{seq, hash}, err
}

func lastSeq(v view) (seq uint64, err error) {
	found := errors.New("found")
	err = v.Walk([]byte{classEvent}, true, func(key, _ []byte) error {
		if len(key) != 9 {
			return damagedCell(key, errLayout)
		}
		seq = binary.BigEndian.Uint64(key[1:])
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return seq, err
}

// matchAnchor allows the database one batch more than the anchor knows (a crash
// between the two), and nothing less.
func (s *Store) matchAnchor(v view, last *event, head Committed) error {
	known := s.anchor.head
	switch {
	case head.Seq < known.Seq:
		return &DamageError{What: "event", Seq: head.Seq + 1,
			Why: fmt.Sprintf("the journal ends at %d, the anchor knows %d commits", head.Seq, known.Seq)}
	case head.Seq == known.Seq && head.Hash != known.Hash:
		return &DamageError{What: "event", Seq: head.Seq, Why: "it is not the one that the anchor knows"}
	case head.Seq > known.Seq && known.Seq != last.first-1:
		return &DamageError{What: "anchor", Seq: known.Seq + 1,
			Why: fmt.Sprintf("it knows %d commits of %d: older than one batch", known.Seq, head.Seq)}
	}
	return s.chain(v, known.Seq+1, head.Seq, known.Hash, nil)
}

// adopt writes the batch that the anchor does not know again, as it stands. Its
// first sync may have failed, and then the page cache shows what the disk has
// lost and no later sync would bring: it must not be told before it is durable.
func (s *Store) adopt(v view, head uint64) error {
	known := s.anchor.head
	var batch []cell
	seen := make(map[string]bool)
	again := func(key []byte) error {
		if seen[string(key)] {
			return nil
		}
		seen[string(key)] = true
		stored, ok, err := v.Get(key)
		if err == nil && !ok {
			stored = nil
		}
		batch = append(batch, cell{key, stored})
		return err
	}
	err := s.chain(v, known.Seq+1, head, known.Hash, func(e *event, _ [32]byte) error {
		err := again(eventKey(e.seq))
		for _, c := range e.changes {
			if err == nil {
				err = again(s.ring.cellKey(c.class, c.kind, c.key))
			}
		}
		return err
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return s.cells.Write(batch)
}

// chain reads the events from..to, each of which must continue the one before.
func (s *Store) chain(v view, from, to uint64, prev [32]byte, fn func(*event, [32]byte) error) error {
	for seq := from; seq <= to; seq++ {
		e, hash, err := s.readEvent(v, seq)
		if err != nil {
			return err
		}
		if e.prev != prev {
			return &DamageError{What: "event", Seq: seq, Why: "it does not continue the one before"}
		}
		prev = hash
		if fn == nil {
			continue
		}
		if err := fn(e, hash); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readEvent(v view, seq uint64) (*event, [32]byte, error) {
	plain, by, ok, err := s.readCell(v, classEvent, "", string(eventKey(seq)[1:]))
	damage := &DamageError{What: "event", Seq: seq}
	var e *event
	var hash [32]byte
	switch {
	case errors.As(err, &damage):
		damage.Seq = seq
	case err != nil:
		return nil, hash, err
	case !ok:
		damage.Why = "it is missing"
	case by != seq:
		damage.Why = errLayout.Error()
	default:
		if e, hash, err = decodeEvent(seq, plain); err == nil {
			return e, hash, nil
		}
		damage.Why = err.Error()
	}
	return nil, hash, damage
}

// Events calls fn for every event from sequence number from (1 is the first) to
// the end of the journal at the call, checking the chain on the way.
func (s *Store) Events(from uint64, fn func(Event) error) error {
	return s.view(func(v view) error {
		_, head, err := s.lastEvent(v)
		if err != nil {
			return err
		}
		var prev [32]byte
		if from > 1 && from <= head.Seq {
			if _, prev, err = s.readEvent(v, from-1); err != nil {
				return err
			}
		}
		return s.chain(v, max(from, 1), head.Seq, prev, func(e *event, hash [32]byte) error {
			return fn(Event{Seq: e.seq, Payload: e.payload, Changes: e.tail, Hash: hash, Prev: e.prev})
		})
	})
}
