package queue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// place orders the outbox: the commit, and the entry's place in it.
type place struct {
	seq   uint64
	index uint16
}

func (p place) key() string {
	b := binary.BigEndian.AppendUint64(nil, p.seq)
	return string(binary.BigEndian.AppendUint16(b, p.index))
}

func parsePlace(key []byte) (place, bool) {
	if len(key) != 10 {
		return place{}, false
	}
	return place{binary.BigEndian.Uint64(key), binary.BigEndian.Uint16(key[8:])}, true
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.seq, q.seq), cmp.Compare(p.index, q.index))
}

// item is an entry without its body. It is never changed once it is in an
// outbox: a parked entry is another item.
type item struct {
	place
	id, group string
	parked    bool
}

// outbox is the index in memory over the entries in Badger. Finding the first
// there would pass a tombstone for each entry that ever left.
type outbox struct {
	mu              sync.Mutex
	byID            map[string]*item
	waiting, parked []*item // by place
	changed         chan struct{}
}

func newOutbox() *outbox {
	return &outbox{byID: make(map[string]*item), changed: make(chan struct{}, 1)}
}

func (o *outbox) find(id string) *item {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byID[id]
}

func (o *outbox) depth() (waiting, parked int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting), len(o.parked)
}

// apply makes what a durable batch did visible: the item that an id now stands
// for, or nil when it left.
func (o *outbox) apply(now map[string]*item) {
	if len(now) == 0 {
		return
	}
	o.mu.Lock()
	for id, it := range now {
		if old := o.byID[id]; old != nil {
			list := o.list(old)
			*list = cut(*list, old)
			delete(o.byID, id)
		}
		if it != nil {
			list := o.list(it)
			*list = insert(*list, it)
			o.byID[id] = it
		}
	}
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default: // a signal is pending already
	}
}

func (o *outbox) list(it *item) *[]*item {
	if it.parked {
		return &o.parked
	}
	return &o.waiting
}

func search(list []*item, p place) (int, bool) {
	return slices.BinarySearchFunc(list, p, func(it *item, p place) int { return it.compare(p) })
}

func insert(list []*item, it *item) []*item {
	i, _ := search(list, it.place)
	return slices.Insert(list, i, it)
}

func cut(list []*item, it *item) []*item {
	i, ok := search(list, it.place)
	switch {
	case !ok:
		return list
	case i == 0: // the oldest leaves most often
		list[0] = nil
		return list[1:]
	}
	return slices.Delete(list, i, i+1)
}

// first returns up to limit waiting items, of each group the oldest only.
func (o *outbox) first(limit int) []*item {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []*item
	seen := make(map[string]bool)
	for _, it := range o.waiting {
		if len(out) >= limit {
			break
		}
		if it.group != "" && seen[it.group] {
			continue
		}
		seen[it.group] = true
		out = append(out, it)
	}
	return out
}

func (o *outbox) aside() []*item {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.parked)
}

// Waiting returns up to limit entries that may leave now, oldest first: of each
// group only the oldest that is not parked, so that none overtakes another.
func (s *Store) Waiting(limit int) ([]Stored, error) {
	return s.load(func() []*item { return s.outbox.first(limit) })
}

// Parked returns the entries that were set aside, oldest first.
func (s *Store) Parked() ([]Stored, error) { return s.load(s.outbox.aside) }

// Depth returns how many entries wait and how many are parked.
func (s *Store) Depth() (waiting, parked int) { return s.outbox.depth() }

// Changed signals after a commit that changed the outbox. It is one channel
// that holds one signal, for one consumer; nothing is missed between a call of
// Waiting and a receive.
func (s *Store) Changed() <-chan struct{} { return s.outbox.changed }

func (s *Store) load(list func() []*item) (out []Stored, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	items := list()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	for _, it := range items {
		e, err := s.loadEntry(txn, it)
		if errors.Is(err, badger.ErrKeyNotFound) {
			if s.outbox.find(it.id) != it {
				continue // it left, or was parked or released, since the list was made
			}
			err = &DamageError{What: "entry", Key: it.id, Seq: it.seq, Why: "it is missing"}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *Store) loadEntry(txn *badger.Txn, it *item) (Stored, error) {
	plain, _, err := s.readCell(txn, classEntry, "", it.key())
	if err != nil {
		return Stored{}, err
	}
	e, err := decodeEntry(plain)
	if err != nil || e.ID != it.id || e.Group != it.group {
		return Stored{}, &DamageError{What: "entry", Key: it.id, Seq: it.seq, Why: errLayout.Error()}
	}
	e.Seq = it.seq
	if it.parked {
		reason, _, err := s.readCell(txn, classPark, "", it.key())
		if err != nil {
			return Stored{}, err
		}
		e.Reason = string(reason)
	}
	return e, nil
}

func encodeEntry(e *Entry, body []byte) []byte {
	b := make([]byte, 0, len(e.ID)+len(e.Group)+len(e.Kind)+len(body)+12)
	b = appendString(appendString(appendString(b, e.ID), e.Group), e.Kind)
	return appendString(b, body)
}

func decodeEntry(plain []byte) (Stored, error) {
	p := parser{rest: plain}
	e := Stored{ID: p.string(), Group: p.string(), Kind: p.string()}
	e.Body = bytes.Clone(p.bytes(p.uvarint()))
	return e, p.end()
}
