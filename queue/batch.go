package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/dgraph-io/badger/v4"
)

// batch is one Badger transaction of several commits. Each commit sees those
// before it; one that is refused leaves nothing behind.
type batch struct {
	store  *Store
	txn    *badger.Txn
	first  uint64
	head   Committed
	depth  uint64           // of the outbox
	now    map[string]*item // entries that the batch added, changed or removed (nil)
	bytes  int
	cells  int
	failed error // the transaction is unusable and nothing was written
}

func (s *Store) newBatch() *batch {
	head := s.Head()
	waiting, parked := s.outbox.depth()
	return &batch{
		store: s, txn: s.db.NewTransaction(true), first: head.Seq + 1, head: head,
		depth: uint64(waiting + parked), now: make(map[string]*item),
	}
}

func (b *batch) full() bool { return b.bytes > maxBatchBytes || b.cells > maxBatchCells }

// add puts a commit into the transaction, or nothing of it.
func (b *batch) add(c *Commit) (done Committed, err error) {
	if b.failed != nil {
		return Committed{}, b.failed
	}
	st := &stage{batch: b, seq: b.head.Seq + 1, now: make(map[string]*item), counts: make(map[string]int64), depth: b.depth}
	hash, err := st.evaluate(c)
	if err != nil {
		return Committed{}, err
	}
	for _, w := range st.writes {
		if w.value == nil {
			err = b.txn.Delete(w.key)
		} else {
			err = b.txn.Set(w.key, w.value)
		}
		if err != nil {
			b.failed = fmt.Errorf("fill the transaction: %w", err)
			return Committed{}, b.failed
		}
	}
	for id, it := range st.now {
		b.now[id] = it
	}
	b.head, b.depth = Committed{st.seq, hash}, st.depth
	b.bytes += st.bytes
	b.cells += len(st.writes)
	return b.head, nil
}

// stage works out one commit without touching the transaction.
type stage struct {
	*batch
	seq     uint64
	now     map[string]*item
	counts  map[string]int64
	depth   uint64
	bytes   int
	writes  []cellWrite
	changes []change
}

type cellWrite struct {
	key, value []byte // no value: delete
}

// evaluate checks everything that can refuse before it lets any Seal make a
// message with the commit's number.
func (st *stage) evaluate(c *Commit) (hash [32]byte, err error) {
	steps := []func(*Commit) error{st.guards, st.removals, st.counters, st.records, st.entries}
	for _, step := range steps {
		if err := step(c); err != nil {
			return hash, err
		}
	}
	e := event{seq: st.seq, prev: st.head.Hash, payload: c.Event, first: st.first, depth: st.depth, changes: st.changes}
	plain, hash := e.encode()
	st.put(eventKey(st.seq), plain)
	if st.bytes > maxCommit {
		return hash, fmt.Errorf("commit of %d bytes: at most %d", st.bytes, maxCommit)
	}
	return hash, nil
}

func (st *stage) put(key, plain []byte) {
	value := st.store.ring.seal(key, st.seq, plain)
	st.bytes += len(key) + len(value)
	st.writes = append(st.writes, cellWrite{key, value})
}

// set writes a cell and its line in the event.
func (st *stage) set(class byte, kind, key string, plain []byte) {
	st.put(st.store.ring.cellKey(class, kind, key), plain)
	st.changes = append(st.changes, change{class: class, kind: kind, key: key, digest: sha256.Sum256(plain)})
}

func (st *stage) remove(class byte, kind, key string) {
	k := st.store.ring.cellKey(class, kind, key)
	st.bytes += len(k)
	st.writes = append(st.writes, cellWrite{key: k})
	st.changes = append(st.changes, change{gone: true, class: class, kind: kind, key: key})
}

func (st *stage) guards(c *Commit) error {
	for _, g := range c.Guards {
		value, ok, err := st.store.readNamed(st.txn, classRecord, g.Kind, g.Key)
		if err != nil {
			return err
		}
		why := ""
		switch {
		case g.Value == nil && ok:
			why = "is there"
		case g.Value != nil && !ok:
			why = "is not there"
		case g.Value != nil && string(value) != string(g.Value):
			why = "has another value"
		}
		if why != "" {
			return &ConflictError{What: "record", Kind: g.Kind, Key: g.Key, Why: why}
		}
	}
	return nil
}

func (st *stage) records(c *Commit) error {
	for _, r := range c.Records {
		if r.Value == nil {
			st.remove(classRecord, r.Kind, r.Key)
		} else {
			st.set(classRecord, r.Kind, r.Key, named(r.Key, r.Value))
		}
	}
	return nil
}

func (st *stage) counters(c *Commit) error {
	for _, n := range c.Counts {
		value, ok := st.counts[n.Name]
		if !ok {
			var err error
			if value, err = st.store.readCount(st.txn, n.Name); err != nil {
				return err
			}
		}
		if n.Delta > 0 && value > math.MaxInt64-n.Delta || n.Delta < 0 && value < math.MinInt64-n.Delta {
			return fmt.Errorf("counter %s: %d and %d do not fit 64 bits", n.Name, value, n.Delta)
		}
		if n.Cap > 0 && n.Delta > 0 && value+n.Delta > n.Cap {
			return &CapError{Name: n.Name, Value: value, Delta: n.Delta, Cap: n.Cap}
		}
		st.counts[n.Name] = value + n.Delta
	}
	done := make(map[string]bool)
	for _, n := range c.Counts { // in the caller's order, each once
		if !done[n.Name] {
			value := binary.BigEndian.AppendUint64(nil, uint64(st.counts[n.Name]))
			st.set(classCounter, "", n.Name, named(n.Name, value))
		}
		done[n.Name] = true
	}
	return nil
}

// find returns the entry as this commit sees it.
func (st *stage) find(id string) *item {
	if it, ok := st.now[id]; ok {
		return it
	}
	if it, ok := st.batch.now[id]; ok {
		return it
	}
	return st.store.outbox.find(id)
}

// removals are what the outbox loses, sets aside and takes back.
func (st *stage) removals(c *Commit) error {
	for _, id := range c.Done {
		it := st.find(id)
		if it == nil {
			return &ConflictError{What: "entry", Key: id, Why: "is not in the outbox"}
		}
		st.remove(classEntry, id, it.key())
		if it.parked {
			st.remove(classPark, id, it.key())
		}
		st.now[id] = nil
		st.depth--
	}
	for _, p := range c.Park {
		it := st.find(p.ID)
		if it == nil || it.parked {
			return &ConflictError{What: "entry", Key: p.ID, Why: "is not waiting"}
		}
		st.set(classPark, p.ID, it.key(), []byte(p.Reason))
		st.now[p.ID] = it.with(true)
	}
	for _, id := range c.Release {
		it := st.find(id)
		if it == nil || !it.parked {
			return &ConflictError{What: "entry", Key: id, Why: "is not parked"}
		}
		st.remove(classPark, id, it.key())
		st.now[id] = it.with(false)
	}
	return nil
}

func (it *item) with(parked bool) *item {
	other := *it
	other.parked = parked
	return &other
}

func (st *stage) entries(c *Commit) error {
	for i := range c.Entries {
		e := &c.Entries[i]
		if st.find(e.ID) != nil {
			return &ConflictError{What: "entry", Key: e.ID, Why: "is in the outbox already"}
		}
		st.now[e.ID] = &item{place: place{st.seq, uint16(i)}, id: e.ID, group: e.Group}
		st.depth++
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		body, err := e.Seal(st.seq)
		if err != nil {
			return fmt.Errorf("seal entry %s: %w", e.ID, err)
		}
		if len(body) == 0 || len(body) > maxValue {
			return fmt.Errorf("entry %s: body of %d bytes: want 1 to %d", e.ID, len(body), maxValue)
		}
		st.set(classEntry, e.ID, st.now[e.ID].key(), encodeEntry(e, body))
	}
	return nil
}
