package queue

import (
	"errors"
	"fmt"
)

// loadOutbox rebuilds the index. A damaged entry ends it: which group it would
// hold back cannot be told.
func (s *Store) loadOutbox(v view, depth uint64) error {
	asides := make(map[place]aside)
	err := s.walk(v, []byte{classPark}, func(key []byte, _ uint64, plain []byte, err error) error {
		p, ok := parsePlace(key[1:])
		if err != nil || !ok || len(plain) == 0 || aside(plain[0]) != parked && aside(plain[0]) != held {
			return damagedCell(key, errors.Join(err, errLayout))
		}
		asides[p] = aside(plain[0])
		return nil
	})
	if err != nil {
		return err
	}
	matched := 0
	s.outbox.expect(int(min(depth, maxExpected)))
	err = s.walk(v, []byte{classEntry}, func(key []byte, _ uint64, plain []byte, err error) error {
		p, ok := parsePlace(key[1:])
		if err != nil || !ok {
			return damagedCell(key, errors.Join(err, errLayout))
		}
		e, err := decodeEntry(plain)
		if err != nil {
			return damagedCell(key, err)
		}
		a, ok := asides[p]
		if ok {
			matched++
		}
		s.outbox.add(&item{place: p, id: e.ID, group: e.Group, priority: e.Priority, aside: a})
		return nil
	})
	switch n := s.outbox.depth(); {
	case err != nil:
		return err
	case n != depth:
		return &DamageError{What: "entry", Why: fmt.Sprintf("%d are stored, the last event counts %d", n, depth)}
	case matched != len(asides):
		return &DamageError{What: "park", Why: fmt.Sprintf("%d are stored, %d have an entry", len(asides), matched)}
	case n > 0:
		s.outbox.signal()
	}
	return nil
}

// maxExpected bounds what is made ready for entries that are not read yet.
const maxExpected = 1 << 20
