package queue

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// expected is what the chain says about a cell that must be there.
type expected struct {
	change
	seq uint64 // the commit that wrote it last
}

func (e expected) damage(why string) *DamageError {
	d := &DamageError{What: classNames[e.class], Kind: e.kind, Key: e.key, Seq: e.seq, Why: why}
	if e.class == classEntry || e.class == classPark {
		d.Kind, d.Key = "", e.kind // the id
	}
	return d
}

// Verify walks the whole chain and everything stored, and compares each stored
// value with what the chain says it must be. The first thing that does not fit
// is the *DamageError returned. Commits go on meanwhile; it holds about 200 bytes
// a stored value.
func (s *Store) Verify() (report Report, err error) {
	known := s.Head()
	report.Healed = slices.Clone(s.healed)
	err = s.view(func(v view) error {
		last, head, err := s.lastEvent(v)
		if err != nil {
			return err
		}
		if head.Seq < known.Seq {
			return &DamageError{What: "event", Seq: head.Seq + 1, Why: "it is missing"}
		}
		report.Head = head
		want, err := s.replay(v, head, known)
		if err != nil {
			return err
		}
		if err := s.compare(v, want, &report); err != nil {
			return err
		}
		if entries := report.Waiting + report.Aside; uint64(entries) != last.depth {
			return &DamageError{What: "entry", Why: fmt.Sprintf("%d are stored, the last event counts %d", entries, last.depth)}
		}
		return nil
	})
	return report, err
}

// replay follows the chain from its start and returns the cells that must be
// there at its end, by Badger key.
func (s *Store) replay(v view, head, known Committed) (map[string]expected, error) {
	want := make(map[string]expected)
	err := s.chain(v, 1, head.Seq, [32]byte{}, func(e *event, hash [32]byte) error {
		if e.seq == known.Seq && hash != known.Hash {
			return &DamageError{What: "event", Seq: e.seq, Why: "it is not the one that was committed"}
		}
		for _, c := range e.changes {
			key := string(s.ring.cellKey(c.class, c.kind, c.key))
			if c.gone {
				delete(want, key)
			} else {
				want[key] = expected{c, e.seq}
			}
		}
		return nil
	})
	return want, err
}

// compare takes every stored cell off want; what is left is missing.
func (s *Store) compare(v view, want map[string]expected, report *Report) error {
	var events uint64
	err := s.walk(v, nil, func(key []byte, seq uint64, plain []byte, err error) error {
		if err == nil && key[0] == classEvent {
			events++
			return nil
		}
		e, ok := want[string(key)]
		switch {
		case !ok && err != nil:
			return damagedCell(key, err)
		case !ok:
			return damagedCell(key, errors.New("no commit has left it here"))
		case err != nil:
			return e.damage(firstLine(err.Error()))
		case seq != e.seq || sha256.Sum256(plain) != e.digest:
			return e.damage("it is not what this commit wrote")
		}
		if _, found, err := v.Get(key); err != nil || !found { // a filter of the database may hide it
			return e.damage("it is there and is not found by its key")
		}
		delete(want, string(key))
		report.count(key[0])
		return nil
	})
	if err != nil {
		return err
	}
	if events != report.Head.Seq {
		return &DamageError{What: "event", Why: fmt.Sprintf("%d are stored, the last has number %d", events, report.Head.Seq)}
	}
	return firstMissing(want)
}

func (r *Report) count(class byte) {
	switch class {
	case classRecord:
		r.Records++
	case classCounter:
		r.Counters++
	case classEntry:
		r.Waiting++
	case classPark: // its entry was counted as waiting
		r.Aside++
		r.Waiting--
	}
}

func firstMissing(want map[string]expected) error {
	var first *expected
	for _, e := range want {
		if first == nil || cmp.Or(cmp.Compare(e.seq, first.seq), cmp.Compare(e.kind, first.kind), cmp.Compare(e.key, first.key)) < 0 {
			first = &e
		}
	}
	if first == nil {
		return nil
	}
	return first.damage("it is missing")
}
