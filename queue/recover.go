package queue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// recover holds the database against the anchor and rebuilds what is kept in
// memory. When it returns nil, everything that was acknowledged is there.
func (s *Store) recover() (err error) {
	defer rescue(&err)
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	last, head, err := s.lastEvent(txn)
	if err != nil {
		return err
	}
	if err := s.matchAnchor(txn, last, head); err != nil {
		return err
	}
	if err := s.loadOutbox(txn, last.depth); err != nil {
		return err
	}
	if err := s.adopt(txn, head.Seq); err != nil {
		return fmt.Errorf("write the last batch again: %w", err)
	}
	s.head = head
	for range slotPages { // both: from here on either slot is good evidence
		if err := s.anchor.set(head); err != nil {
			return err
		}
	}
	return nil
}

// lastEvent finds the end of the journal; an empty one ends at zero.
func (s *Store) lastEvent(txn *badger.Txn) (last *event, head Committed, err error) {
	seq, err := lastSeq(txn)
	if err != nil || seq == 0 {
		return &event{}, Committed{}, err
	}
	last, hash, err := s.readEvent(txn, seq)
	return last, Committed{seq, hash}, err
}

func lastSeq(txn *badger.Txn) (seq uint64, err error) {
	defer rescue(&err)
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true, Prefix: []byte{classEvent}})
	defer it.Close()
	it.Seek(append(eventKey(^uint64(0)), 0xFF))
	if !it.Valid() {
		return 0, nil
	}
	key := it.Item().Key()
	if len(key) != 9 {
		return 0, damagedCell(key, errLayout)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// matchAnchor allows the database one batch more than the anchor knows (a crash
// between the two), and nothing less.
func (s *Store) matchAnchor(txn *badger.Txn, last *event, head Committed) error {
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
	return s.chain(txn, known.Seq+1, head.Seq, known.Hash, nil)
}

// adopt writes the batch that the anchor does not know again, as it stands. Its
// first sync may have failed, and then the page cache shows what the disk has
// lost and no later sync would bring: it must not be told before it is durable.
func (s *Store) adopt(txn *badger.Txn, head uint64) error {
	known := s.anchor.head
	return s.chain(txn, known.Seq+1, head, known.Hash, func(e *event, _ [32]byte) error {
		again := s.db.NewTransaction(true)
		defer again.Discard()
		keys := [][]byte{eventKey(e.seq)}
		for _, c := range e.changes {
			keys = append(keys, s.ring.cellKey(c.class, c.kind, c.key))
		}
		for _, key := range keys {
			item, err := txn.Get(key)
			if errors.Is(err, badger.ErrKeyNotFound) {
				err = again.Delete(key)
			} else if err == nil {
				var stored []byte
				if stored, err = item.ValueCopy(nil); err == nil {
					err = again.Set(key, stored)
				}
			}
			if err != nil {
				return err
			}
		}
		return s.commitTxn(again)
	})
}

// chain reads the events from..to, each of which must continue the one before.
func (s *Store) chain(txn *badger.Txn, from, to uint64, prev [32]byte, fn func(*event, [32]byte) error) error {
	for seq := from; seq <= to; seq++ {
		e, hash, err := s.readEvent(txn, seq)
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

func (s *Store) readEvent(txn *badger.Txn, seq uint64) (*event, [32]byte, error) {
	plain, by, err := s.readCell(txn, classEvent, "", string(eventKey(seq)[1:]))
	damage := &DamageError{What: "event", Seq: seq}
	var e *event
	var hash [32]byte
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		damage.Why = "it is missing"
	case errors.As(err, &damage):
		damage.Seq = seq
	case err != nil:
		return nil, hash, err
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
	return s.view(func(txn *badger.Txn) error {
		_, head, err := s.lastEvent(txn)
		if err != nil {
			return err
		}
		var prev [32]byte
		if from > 1 && from <= head.Seq {
			if _, prev, err = s.readEvent(txn, from-1); err != nil {
				return err
			}
		}
		return s.chain(txn, max(from, 1), head.Seq, prev, func(e *event, hash [32]byte) error {
			return fn(Event{Seq: e.seq, Payload: e.payload, Changes: e.tail, Hash: hash, Prev: e.prev})
		})
	})
}

// loadOutbox rebuilds the index. A damaged entry ends it: which group it would
// hold back cannot be told.
func (s *Store) loadOutbox(txn *badger.Txn, depth uint64) error {
	var items []*item
	err := s.walk(txn, []byte{classEntry}, func(key []byte, _ uint64, plain []byte, err error) error {
		p, ok := parsePlace(key[1:])
		if err != nil || !ok {
			return damagedCell(key, errors.Join(err, errLayout))
		}
		e, err := decodeEntry(plain)
		if err != nil {
			return damagedCell(key, err)
		}
		items = append(items, &item{place: p, id: e.ID, group: e.Group})
		return nil
	})
	if err != nil {
		return err
	}
	if uint64(len(items)) != depth {
		return &DamageError{What: "entry", Why: fmt.Sprintf("%d are stored, the last event counts %d", len(items), depth)}
	}
	byPlace := make(map[place]*item, len(items))
	for _, it := range items {
		byPlace[it.place] = it
	}
	err = s.walk(txn, []byte{classPark}, func(key []byte, _ uint64, _ []byte, err error) error {
		p, _ := parsePlace(key[1:])
		it := byPlace[p]
		if err != nil || it == nil {
			return damagedCell(key, errors.Join(err, errLayout))
		}
		it.parked = true
		return nil
	})
	if err != nil {
		return err
	}
	for _, it := range items {
		s.outbox.byID[it.id] = it
		list := s.outbox.list(it)
		*list = append(*list, it)
	}
	if len(s.outbox.waiting) > 0 {
		s.outbox.changed <- struct{}{}
	}
	return nil
}
