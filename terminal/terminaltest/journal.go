// Package terminaltest has the parts around a terminal as fakes with behaviour:
// a journal in memory that keeps the contract of terminal.Journal to the letter,
// and a wallet whose answers a test writes.
package terminaltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"tapkeeper/terminal"
)

// Journal is a terminal.Journal in memory: atomic, guarded, capped. The zero
// value is empty and ready.
type Journal struct {
	// Fail, when set, is asked before each commit; its error is the commit's.
	Fail func(c terminal.Commit) error

	mu      sync.Mutex
	seq     uint64
	records map[string][]byte
	counts  map[string]int64
	entries []Entry
	events  [][]byte
	hashes  [][32]byte // of the events so far asked for
}

// Entry is a message in the outbox.
type Entry struct {
	ID, Group, Kind string
	Body            []byte
	Parked          string
}

var (
	_ terminal.Journal = (*Journal)(nil)
	_ terminal.Chain   = (*Journal)(nil)
)

// Get implements terminal.Records.
func (j *Journal) Get(kind, key string) ([]byte, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	v, ok := j.records[kind+"\x00"+key]
	return bytes.Clone(v), ok, nil
}

// Each implements terminal.Records.
func (j *Journal) Each(kind, prefix string, fn func(key string, value []byte) error) error {
	j.mu.Lock()
	found := map[string][]byte{}
	var keys []string
	for name, v := range j.records {
		if key, ok := strings.CutPrefix(name, kind+"\x00"); ok && strings.HasPrefix(key, prefix) {
			found[key] = bytes.Clone(v)
			keys = append(keys, key)
		}
	}
	j.mu.Unlock()
	slices.Sort(keys)
	for _, key := range keys {
		if err := fn(key, found[key]); err != nil {
			return err
		}
	}
	return nil
}

// Count implements terminal.Records.
func (j *Journal) Count(name string) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts[name], nil
}

// Commit implements terminal.Journal.
func (j *Journal) Commit(_ context.Context, c terminal.Commit) (uint64, error) {
	if j.Fail != nil {
		if err := j.Fail(c); err != nil {
			return 0, err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.admit(c); err != nil {
		return 0, err
	}
	bodies := make([][]byte, 0, len(c.Entries))
	for _, e := range c.Entries {
		body, err := e.Seal(j.seq + 1)
		if err != nil {
			return 0, fmt.Errorf("seal: %w", err)
		}
		bodies = append(bodies, body)
	}
	j.seq++
	j.apply(c, bodies)
	return j.seq, nil
}

// admit checks everything that may refuse a commit.
func (j *Journal) admit(c terminal.Commit) error {
	if len(c.Event) == 0 {
		return fmt.Errorf("a commit without an event")
	}
	for _, g := range c.Guards {
		v, ok := j.records[g.Kind+"\x00"+g.Key]
		if ok != (g.Value != nil) || !bytes.Equal(v, g.Value) {
			return fmt.Errorf("%w: %s %s", terminal.ErrConflict, g.Kind, g.Key)
		}
	}
	totals := map[string]int64{}
	for _, n := range c.Counts {
		totals[n.Name] += n.Delta
		if v := j.counts[n.Name] + totals[n.Name]; n.Cap > 0 && n.Delta > 0 && v > n.Cap {
			return &terminal.CapError{Counter: n.Name, Cap: n.Cap}
		}
	}
	for _, id := range c.Done {
		if j.find(id) < 0 {
			return fmt.Errorf("%w: entry %s is not waiting", terminal.ErrConflict, id)
		}
	}
	for _, p := range c.Park {
		if j.find(p.ID) < 0 {
			return fmt.Errorf("%w: entry %s is not waiting", terminal.ErrConflict, p.ID)
		}
	}
	for _, id := range c.Release {
		if i := j.find(id); i < 0 || j.entries[i].Parked == "" {
			return fmt.Errorf("%w: entry %s is not parked", terminal.ErrConflict, id)
		}
	}
	return nil
}

func (j *Journal) apply(c terminal.Commit, bodies [][]byte) {
	if j.records == nil {
		j.records, j.counts = map[string][]byte{}, map[string]int64{}
	}
	for _, r := range c.Records {
		if r.Value == nil {
			delete(j.records, r.Kind+"\x00"+r.Key)
		} else {
			j.records[r.Kind+"\x00"+r.Key] = bytes.Clone(r.Value)
		}
	}
	for _, n := range c.Counts {
		j.counts[n.Name] += n.Delta
	}
	for _, id := range c.Done {
		i := j.find(id)
		j.entries = slices.Delete(j.entries, i, i+1)
	}
	for _, p := range c.Park {
		j.entries[j.find(p.ID)].Parked = p.Reason
	}
	for _, id := range c.Release {
		j.entries[j.find(id)].Parked = ""
	}
	for i, e := range c.Entries {
		j.entries = append(j.entries, Entry{e.ID, e.Group, e.Kind, bodies[i], ""})
	}
	j.events = append(j.events, bytes.Clone(c.Event))
}

func (j *Journal) find(id string) int {
	return slices.IndexFunc(j.entries, func(e Entry) bool { return e.ID == id })
}

// Size is how long a record's value is.
func (j *Journal) Size(kind, key string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.records[kind+"\x00"+key])
}

// Outbox lists the entries, oldest first.
func (j *Journal) Outbox() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// Counts lists the counters that are not zero.
func (j *Journal) Counts() map[string]int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	held := map[string]int64{}
	for name, n := range j.counts {
		if n != 0 {
			held[name] = n
		}
	}
	return held
}

// Events lists what was committed, oldest first.
func (j *Journal) Events() [][]byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}

// Head implements terminal.Chain.
func (j *Journal) Head() (uint64, [32]byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq, j.hash(j.seq)
}

// Links implements terminal.Chain.
func (j *Journal) Links(from uint64, fn func(terminal.Link) error) error {
	j.mu.Lock()
	var links []terminal.Link
	for seq := max(from, 1); seq <= j.seq; seq++ {
		links = append(links, terminal.Link{Seq: seq, Prev: j.hash(seq - 1), Hash: j.hash(seq), Payload: j.events[seq-1]})
	}
	j.mu.Unlock()
	for _, l := range links {
		if err := fn(l); err != nil {
			return err
		}
	}
	return nil
}

// hash chains the events up to one; zero before the first.
func (j *Journal) hash(seq uint64) (h [32]byte) {
	for len(j.hashes) < int(seq) {
		before := [32]byte{}
		if n := len(j.hashes); n > 0 {
			before = j.hashes[n-1]
		}
		j.hashes = append(j.hashes, sha256.Sum256(append(before[:], j.events[len(j.hashes)]...)))
	}
	if seq == 0 {
		return h
	}
	return j.hashes[seq-1]
}

// Clone is a copy as a backup makes it.
func (j *Journal) Clone() *Journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &Journal{
		seq: j.seq, records: maps.Clone(j.records), counts: maps.Clone(j.counts),
		entries: slices.Clone(j.entries), events: slices.Clone(j.events),
	}
}
