package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"
)

// batch is what several commits come to, made durable as one. Each commit sees
// those before it; one that is refused leaves nothing behind. A cell that
// several commits write is sealed and stored once, as the last left it.
type batch struct {
	store    *Store
	before   *batch // the batch before, which may not be written yet
	view     view   // as the one before that left it, or later
	room     error  // ErrFull: nothing new is taken
	requests []*request
	answers  []answer

	first uint64
	head  Committed
	depth uint64             // of the outbox
	now   map[string]*item   // entries that the batch added, changed or removed (nil)
	cells map[string]pending // by key
	order []string           // of the keys, as they came
	bytes int
}

// pending is a cell before its seal; no plain text: delete.
type pending struct {
	seq   uint64
	plain []byte
}

// newBatch begins a batch on top of another one, or of what is written.
func (s *Store) newBatch(before *batch) *batch {
	b := &batch{
		store: s, before: before, view: s.cells.Read(), room: s.admit(false),
		now: make(map[string]*item), cells: make(map[string]pending),
	}
	if before != nil {
		b.head, b.depth = before.head, before.depth
	} else {
		b.head, b.depth = s.Head(), s.outbox.depth()
	}
	b.first = b.head.Seq + 1
	return b
}

func (b *batch) full() bool {
	return len(b.requests) >= maxBatch || b.bytes > maxBatchBytes || len(b.cells) > maxBatchCells
}

// add puts a commit into the batch, or nothing of it.
func (b *batch) add(c *Commit) (done Committed, err error) {
	st := &stage{batch: b, seq: b.head.Seq + 1, depth: b.depth}
	hash, err := st.evaluate(c)
	if err != nil {
		return Committed{}, err
	}
	for _, w := range st.writes {
		key := string(w.key)
		if _, ok := b.cells[key]; !ok {
			b.order = append(b.order, key)
		}
		b.cells[key] = pending{st.seq, w.value}
	}
	for id, it := range st.now {
		b.now[id] = it
	}
	b.head, b.depth = Committed{st.seq, hash}, st.depth
	b.bytes += st.bytes
	return b.head, nil
}

// seal turns the batch into what is stored. Seals do not depend on each other.
func (b *batch) seal() []cell {
	out := make([]cell, len(b.order))
	work := func(from, to int) {
		var scratch []byte
		for i, key := range b.order[from:to] {
			p, c := b.cells[key], &out[from+i]
			if c.key = []byte(key); p.plain != nil {
				c.value = b.store.ring.sealWith(&scratch, c.key, p.seq, p.plain)
			}
		}
	}
	workers := min(runtime.GOMAXPROCS(0), len(out)/sealsEach+1)
	var wait sync.WaitGroup
	for w := 1; w < workers; w++ {
		wait.Go(func() { work(w*len(out)/workers, (w+1)*len(out)/workers) })
	}
	work(0, len(out)/workers)
	wait.Wait()
	return out
}

// sealsEach is how many seals are worth a goroutine: each takes about a microsecond.
const sealsEach = 32

// stage works out one commit without touching the batch.
type stage struct {
	*batch
	seq     uint64
	now     map[string]*item // made when it is needed, as counts
	counts  map[string]int64
	guarded []guarded
	depth   uint64
	bytes   int
	writes  []cell // in plain text
	changes []change
}

// guarded is the hidden key of a record that the commit guards, and that it writes
// most often as well.
type guarded struct {
	kind, key string
	cell      []byte
}

// cellKey is that of the ring, worked out once for a guarded record.
func (st *stage) cellKey(class byte, kind, key string) []byte {
	if class == classRecord {
		for _, g := range st.guarded {
			if g.kind == kind && g.key == key {
				return g.cell
			}
		}
	}
	return st.store.ring.cellKey(class, kind, key)
}

// note says what an entry's id stands for after this commit.
func (st *stage) note(id string, it *item) {
	if st.now == nil {
		st.now = make(map[string]*item)
	}
	st.now[id] = it
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
	st.bytes += len(key) + len(plain) + sealOverhead
	st.writes = append(st.writes, cell{key, plain})
}

// set writes a cell and its line in the event.
func (st *stage) set(class byte, kind, key string, plain []byte) {
	st.put(st.cellKey(class, kind, key), plain)
	st.changes = append(st.changes, change{class: class, kind: kind, key: key, digest: sha256.Sum256(plain)})
}

func (st *stage) remove(class byte, kind, key string) {
	k := st.cellKey(class, kind, key)
	st.bytes += len(k)
	st.writes = append(st.writes, cell{key: k})
	st.changes = append(st.changes, change{gone: true, class: class, kind: kind, key: key})
}

// named reads a record or counter as the commits before left it.
func (st *stage) named(class byte, kind, key string) ([]byte, bool, error) {
	k := st.cellKey(class, kind, key)
	p, ok := st.cells[string(k)]
	if !ok && st.before != nil {
		p, ok = st.before.cells[string(k)]
	}
	switch {
	case !ok:
		return st.store.readNamed(st.view, k, class, kind, key)
	case p.plain == nil:
		return nil, false, nil
	}
	_, value, err := splitNamed(p.plain)
	return value, err == nil, err
}

func (st *stage) guards(c *Commit) error {
	for _, g := range c.Guards {
		st.guarded = append(st.guarded, guarded{g.Kind, g.Key, st.store.ring.cellKey(classRecord, g.Kind, g.Key)})
		value, ok, err := st.named(classRecord, g.Kind, g.Key)
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
	if len(c.Counts) > 0 {
		st.counts = make(map[string]int64, len(c.Counts))
	}
	for _, n := range c.Counts {
		value, ok := st.counts[n.Name]
		if !ok {
			stored, there, err := st.named(classCounter, "", n.Name)
			if err == nil && there {
				value, err = counterValue(n.Name, stored)
			}
			if err != nil {
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
	for i, n := range c.Counts { // in the caller's order, each once
		if first := countIndex(c.Counts, n.Name); first == i {
			value := binary.BigEndian.AppendUint64(nil, uint64(st.counts[n.Name]))
			st.set(classCounter, "", n.Name, named(n.Name, value))
		}
	}
	return nil
}

func countIndex(counts []Count, name string) int {
	for i, n := range counts {
		if n.Name == name {
			return i
		}
	}
	return -1
}
