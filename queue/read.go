package queue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// readCell returns the plain text of a cell, the commit that wrote it, and
// whether it is there.
func (s *Store) readCell(v view, class byte, kind, key string) (plain []byte, seq uint64, ok bool, err error) {
	return s.readAt(v, s.ring.cellKey(class, kind, key), class, kind, key)
}

// readAt is readCell where the cell's key is known.
func (s *Store) readAt(v view, k []byte, class byte, kind, key string) (plain []byte, seq uint64, ok bool, err error) {
	stored, ok, err := v.Get(k)
	if err == nil && ok {
		seq, plain, err = s.ring.open(k, stored)
	}
	if err != nil {
		return nil, 0, false, &DamageError{What: classNames[class], Kind: kind, Key: printable(class, key), Why: firstLine(err.Error())}
	}
	return plain, seq, ok, nil
}

// printable is a cell's key for an error text: that of an entry is a number.
func printable(class byte, key string) string {
	if class == classRecord || class == classCounter {
		return key
	}
	if p, ok := parsePlace([]byte(key)); ok {
		return fmt.Sprintf("%d.%d", p.seq, p.index)
	}
	return ""
}

// readNamed reads a record or counter, whose cell has key k.
func (s *Store) readNamed(v view, k []byte, class byte, kind, key string) ([]byte, bool, error) {
	plain, _, ok, err := s.readAt(v, k, class, kind, key)
	if err != nil || !ok {
		return nil, false, err
	}
	name, value, err := splitNamed(plain)
	if err != nil || name != key {
		return nil, false, &DamageError{What: classNames[class], Kind: kind, Key: key, Why: errLayout.Error()}
	}
	return value, true, nil
}

func counterValue(name string, value []byte) (int64, error) {
	if len(value) != 8 {
		return 0, &DamageError{What: "counter", Key: name, Why: errLayout.Error()}
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

// view runs fn on what is shown now.
func (s *Store) view(fn func(v view) error) error {
	v, err := s.enter(nil)
	if err != nil {
		return err
	}
	defer s.leave(v)
	return fn(v)
}

// Get returns the value of a record and whether it is there.
func (s *Store) Get(kind, key string) (value []byte, ok bool, err error) {
	if err := checkName("record", kind, key); err != nil {
		return nil, false, err
	}
	err = s.view(func(v view) (err error) {
		value, ok, err = s.readNamed(v, s.ring.cellKey(classRecord, kind, key), classRecord, kind, key)
		return err
	})
	return value, ok, err
}

// Count returns a counter; one that was never counted is 0.
func (s *Store) Count(name string) (n int64, err error) {
	err = s.view(func(v view) error {
		value, ok, err := s.readNamed(v, s.ring.cellKey(classCounter, "", name), classCounter, "", name)
		if err == nil && ok {
			n, err = counterValue(name, value)
		}
		return err
	})
	return n, err
}

// Each calls fn for every record of kind whose key starts with prefix, in the
// order of keys, on one snapshot. Keys are hidden on the disk, so it reads the
// whole kind whatever the prefix: give what is scanned often a kind of its own
// ("open", "day-2026-11-24").
func (s *Store) Each(kind, prefix string, fn func(key string, value []byte) error) error {
	return s.view(func(v view) error {
		keys, err := s.keysOf(v, kind, prefix)
		if err != nil {
			return err
		}
		for _, key := range keys {
			value, err := s.reread(v, kind, key)
			if err != nil {
				return err
			}
			if err := fn(key, value); err != nil {
				return err
			}
		}
		return nil
	})
}

// keysOf holds only the keys: the values of a kind may not fit into memory.
func (s *Store) keysOf(v view, kind, prefix string) (keys []string, err error) {
	err = s.walk(v, kindPrefix(classRecord, kind), func(key []byte, _ uint64, plain []byte, err error) error {
		if err != nil {
			return damagedCell(key, err)
		}
		name, _, err := splitNamed(plain)
		if err != nil || !bytes.Equal(key, s.ring.cellKey(classRecord, kind, name)) {
			return &DamageError{What: "record", Kind: kind, Why: errLayout.Error()}
		}
		if strings.HasPrefix(name, prefix) {
			keys = append(keys, name)
		}
		return nil
	})
	slices.Sort(keys)
	return keys, err
}

func (s *Store) reread(v view, kind, key string) (value []byte, err error) {
	value, ok, err := s.readNamed(v, s.ring.cellKey(classRecord, kind, key), classRecord, kind, key)
	if err == nil && !ok {
		err = &DamageError{What: "record", Kind: kind, Key: key, Why: "found by its kind and not by its key"}
	}
	return value, err
}

// walk opens every cell under a prefix and tells fn what did not open. key and
// plain are fn's only while it runs.
func (s *Store) walk(v view, prefix []byte, fn func(key []byte, seq uint64, plain []byte, err error) error) error {
	var buf []byte
	return v.Walk(prefix, false, func(key, stored []byte) error {
		seq, plain, err := s.ring.openInto(buf, key, stored)
		if err == nil {
			buf = plain
		}
		return fn(key, seq, plain, err)
	})
}

// damagedCell says as much as a Badger key tells.
func damagedCell(key []byte, cause error) *DamageError {
	d := &DamageError{What: "database", Why: firstLine(cause.Error())}
	if len(key) == 0 || classNames[key[0]] == "" {
		d.Why = "a cell of unknown class"
		return d
	}
	d.What = classNames[key[0]]
	switch key[0] {
	case classRecord:
		if i := bytes.IndexByte(key, 0); i > 0 {
			d.Kind = string(key[1:i])
		}
	case classEvent, classEntry, classPark:
		if len(key) >= 9 {
			d.Seq = binary.BigEndian.Uint64(key[1:])
		}
	}
	return d
}
