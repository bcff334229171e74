package queue

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
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

// aside says whether and how an entry is set aside; the values are on the disk.
type aside byte

const (
	waiting aside = 0
	parked  aside = 1 // its group goes on without it
	held    aside = 2 // its group waits for it
)

// item is an entry without its body. It is never changed once it is in an
// outbox: a parked entry is another item.
type item struct {
	place
	id, group string
	priority  Priority
	aside     aside
}

// outbox is the index in memory over the stored entries. Finding the first in
// the database would pass a tombstone for each entry that ever left.
type outbox struct {
	mu      sync.Mutex
	byID    map[string]*item
	groups  map[string][]*item  // those that are not parked, by place; not the group ""
	ready   [priorities][]*item // those that may leave now, by place
	aside   []*item             // parked and held, by place
	sent    map[string]bool     // ids
	changed chan struct{}
}

func newOutbox() *outbox {
	return &outbox{
		byID: make(map[string]*item), groups: make(map[string][]*item), sent: make(map[string]bool),
		changed: make(chan struct{}, 1),
	}
}

// expect makes room for n entries at once.
func (o *outbox) expect(n int) {
	o.byID, o.groups = make(map[string]*item, n), make(map[string][]*item, n)
}

func (o *outbox) find(id string) *item {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byID[id]
}

func (o *outbox) depth() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return uint64(len(o.byID))
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
			o.remove(old)
		}
		if it != nil {
			o.add(it)
		}
	}
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.changed <- struct{}{}:
	default: // a signal is pending already
	}
}

func (o *outbox) add(it *item) {
	o.byID[it.id] = it
	if it.aside != waiting {
		o.aside = insert(o.aside, it)
	}
	if it.aside != parked {
		o.regroup(it, insert)
	}
}

func (o *outbox) remove(it *item) {
	delete(o.byID, it.id)
	delete(o.sent, it.id)
	if it.aside != waiting {
		o.aside = cut(o.aside, it)
	}
	if it.aside != parked {
		o.regroup(it, cut)
	}
}

// regroup puts it into its group or takes it out, and keeps ready to what it
// says: of each group the first, unless that is held.
func (o *outbox) regroup(it *item, change func([]*item, *item) []*item) {
	var before []*item
	if it.group != "" {
		before = o.groups[it.group]
	} else if o.inReady(it) {
		before = []*item{it}
	}
	first := head(before)
	after := change(before, it)
	if it.group != "" {
		if o.groups[it.group] = after; len(after) == 0 {
			delete(o.groups, it.group)
		}
	}
	if next := head(after); next != first {
		if first != nil {
			o.ready[first.priority] = cut(o.ready[first.priority], first)
		}
		if next != nil {
			o.ready[next.priority] = insert(o.ready[next.priority], next)
		}
	}
}

func (o *outbox) inReady(it *item) bool {
	_, ok := search(o.ready[it.priority], it.place)
	return ok
}

func head(group []*item) *item {
	if len(group) == 0 || group[0].aside == held {
		return nil
	}
	return group[0]
}

func search(list []*item, p place) (int, bool) {
	return slices.BinarySearchFunc(list, p, func(it *item, p place) int { return it.compare(p) })
}

func insert(list []*item, it *item) []*item {
	if n := len(list); n == 0 || list[n-1].compare(it.place) < 0 { // nearly always
		return append(list, it)
	}
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

// first returns up to limit items that may leave now: the highest priority
// first, then the oldest.
func (o *outbox) first(limit int) []*item {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []*item
	for p := priorities - 1; p >= 0; p-- {
		out = append(out, o.ready[p][:max(0, min(limit-len(out), len(o.ready[p])))]...)
	}
	return out
}

func (o *outbox) setAside() []*item {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.aside)
}

// state of an item that is in the outbox.
func (o *outbox) state(it *item) State {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case it.aside == parked:
		return Parked
	case it.aside == held:
		return Held
	case o.sent[it.id]:
		return Sent
	}
	return Queued
}

func (o *outbox) owes(group string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.groups[group]) > 0 || slices.ContainsFunc(o.aside, func(it *item) bool { return it.group == group })
}

// mark notes what was sent; ids that are not waiting are left alone.
func (o *outbox) mark(ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if it := o.byID[id]; it != nil && it.aside == waiting {
			o.sent[id] = true
		}
	}
}

// Depth counts the entries of the outbox by their state.
type Depth struct{ Queued, Sent, Parked, Held int }

func (o *outbox) count() Depth {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := Depth{Sent: len(o.sent), Queued: len(o.byID) - len(o.sent) - len(o.aside)}
	for _, it := range o.aside {
		if it.aside == parked {
			d.Parked++
		} else {
			d.Held++
		}
	}
	return d
}
