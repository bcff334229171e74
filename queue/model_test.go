package queue

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model is the store as its contract reads: plain maps, applied to a copy that
// is kept when nothing refuses.
type model struct {
	records map[string]string // kind/key
	counts  map[string]int64
	entries []modelEntry // in order of place
	events  []string
}

type modelEntry struct {
	id, group, body, reason string
	priority                Priority
	state                   State
}

func (m *model) clone() *model {
	return &model{maps.Clone(m.records), maps.Clone(m.counts), slices.Clone(m.entries), slices.Clone(m.events)}
}

func (m *model) find(id string) int {
	return slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.id == id })
}

// apply says whether the commit is accepted.
func (m *model) apply(c Commit, sealFails bool) bool {
	for _, g := range c.Guards {
		value, ok := m.records[g.Kind+"/"+g.Key]
		if ok != (g.Value != nil) || value != string(g.Value) {
			return false
		}
	}
	for _, id := range c.Done {
		i := m.find(id)
		if i < 0 {
			return false
		}
		m.entries = slices.Delete(m.entries, i, i+1)
	}
	for _, list := range []struct {
		parks []Park
		state State
	}{{c.Park, Parked}, {c.Hold, Held}} {
		for _, p := range list.parks {
			i := m.find(p.ID)
			if i < 0 || m.entries[i].state != Queued {
				return false
			}
			m.entries[i].reason, m.entries[i].state = p.Reason, list.state
		}
	}
	for _, id := range c.Release {
		i := m.find(id)
		if i < 0 || m.entries[i].state == Queued {
			return false
		}
		m.entries[i].reason, m.entries[i].state = "", Queued
	}
	for _, n := range c.Counts {
		if n.Cap > 0 && n.Delta > 0 && m.counts[n.Name]+n.Delta > n.Cap {
			return false
		}
		m.counts[n.Name] += n.Delta
	}
	for _, r := range c.Records {
		if delete(m.records, r.Kind+"/"+r.Key); r.Value != nil {
			m.records[r.Kind+"/"+r.Key] = string(r.Value)
		}
	}
	for _, e := range c.Entries {
		if m.find(e.ID) >= 0 {
			return false
		}
		m.entries = append(m.entries, modelEntry{e.ID, e.Group, fmt.Sprintf("%s|%d", e.ID, len(m.events)+1), "", e.Priority, Queued})
	}
	m.events = append(m.events, string(c.Event))
	return !sealFails
}

// waiting are those that may leave; else those that are set aside.
func (m *model) waiting(may bool) string {
	var list []modelEntry
	first := map[string]bool{}
	for _, e := range m.entries {
		if !may {
			if e.state != Queued {
				list = append(list, e)
			}
			continue
		}
		if e.state == Parked || e.group != "" && first[e.group] {
			continue
		}
		if first[e.group] = true; e.state == Queued {
			list = append(list, e)
		}
	}
	if may {
		slices.SortStableFunc(list, func(a, b modelEntry) int { return int(b.priority) - int(a.priority) })
	}
	out := ""
	for _, e := range list {
		out += fmt.Sprintf("%s %d %s %s %s; ", e.id, e.priority, e.state, e.body, e.reason)
	}
	return out
}

var (
	genKind  = rapid.SampledFrom([]string{"a", "b"})
	genKey   = rapid.SampledFrom([]string{"1", "12", "2"})
	genValue = rapid.SampledFrom([][]byte{nil, {}, []byte("x"), []byte("y")})
	genID    = rapid.SampledFrom([]string{"e1", "e2", "e3", "e4", "e5"})
	genGroup = rapid.SampledFrom([]string{"", "g", "h"})
)

func genCommit(t *rapid.T) (c Commit, sealFails bool) {
	c.Event = rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "event")
	few := func(name string, most int) int { return max(0, rapid.IntRange(-2, most).Draw(t, name)) }
	for range few("guards", 1) {
		c.Guards = append(c.Guards, Guard{genKind.Draw(t, "kind"), genKey.Draw(t, "key"), genValue.Draw(t, "value")})
	}
	for range few("records", 3) {
		r := Record{genKind.Draw(t, "kind"), genKey.Draw(t, "key"), genValue.Draw(t, "value")}
		if !slices.ContainsFunc(c.Records, func(o Record) bool { return o.Kind == r.Kind && o.Key == r.Key }) {
			c.Records = append(c.Records, r)
		}
	}
	for range few("entries", 2) {
		e := entry(genID.Draw(t, "id"), genGroup.Draw(t, "group"))
		e.Priority = Priority(rapid.IntRange(0, priorities-1).Draw(t, "priority"))
		c.Entries = append(c.Entries, e)
	}
	for range few("done", 1) {
		c.Done = append(c.Done, genID.Draw(t, "id"))
	}
	for range few("park", 1) {
		c.Park = append(c.Park, Park{genID.Draw(t, "id"), "reason"})
	}
	for range few("hold", 1) {
		c.Hold = append(c.Hold, Park{genID.Draw(t, "id"), "wait"})
	}
	for range few("release", 1) {
		c.Release = append(c.Release, genID.Draw(t, "id"))
	}
	for range few("counts", 2) {
		c.Counts = append(c.Counts, Count{genGroup.Draw(t, "counter") + "n", rapid.Int64Range(-3, 5).Draw(t, "delta"), rapid.Int64Range(0, 9).Draw(t, "cap")})
	}
	if len(c.Entries) > 0 && rapid.IntRange(0, 9).Draw(t, "seal") == 0 {
		sealFails = true
		c.Entries[len(c.Entries)-1].Seal = func(uint64) ([]byte, error) { return nil, errors.New("no") }
	}
	return c, sealFails
}

// TestModel runs random commits, refusals and reopenings against the model.
func TestModel(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	defer checks.Set(checks.String())
	if checks.String() == "100" { // the default; TestSimulatedDisk does thousands
		checks.Set(strconv.Itoa(scaled(40)))
	}
	memory := quickDir(t)
	rapid.Check(t, func(rt *rapid.T) {
		base, err := os.MkdirTemp(memory, "model")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(base)
		dir := filepath.Join(base, "journal")
		s := openModel(rt, dir)
		defer func() { s.Close() }()
		m := &model{records: map[string]string{}, counts: map[string]int64{}}
		act := func(rt *rapid.T) {
			c, sealFails := genCommit(rt)
			next := m.clone()
			accepted := next.apply(c, sealFails)
			if accepted {
				m = next
			}
			done, err := s.Commit(context.Background(), c)
			if accepted != (err == nil) {
				rt.Fatalf("the model says %v, the store %v", accepted, err)
			}
			if accepted && done.Seq != uint64(len(m.events)) {
				rt.Fatalf("number %d, want %d", done.Seq, len(m.events))
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": act, "commit again": act, "commit more": act,
			"reopen": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = openModel(rt, dir)
			},
			"": func(rt *rapid.T) { compare(rt, s, m) },
		})
		if _, err := s.Verify(); err != nil {
			rt.Fatal(err)
		}
	})
}

type fataler interface{ Fatalf(format string, a ...any) }

func openModel(t *rapid.T, dir string) *Store {
	s, err := Open(Options{Dir: dir, Master: testMaster})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compare(t fataler, s *Store, m *model) {
	records := map[string]string{}
	for _, kind := range []string{"a", "b"} {
		err := s.Each(kind, "", func(key string, value []byte) error { records[kind+"/"+key] = string(value); return nil })
		if err != nil {
			t.Fatalf("%v", err)
		}
	}
	if !maps.Equal(records, m.records) {
		t.Fatalf("records %q, want %q", records, m.records)
	}
	for name, want := range m.counts {
		if got, err := s.Count(name); got != want || err != nil {
			t.Fatalf("counter %s: %d, %v, want %d", name, got, err, want)
		}
	}
	waiting, err1 := s.Waiting(100)
	parked, err2 := s.Parked()
	if got, want := show(waiting), m.waiting(true); err1 != nil || got != want {
		t.Fatalf("waiting %s, %v, want %s", got, err1, want)
	}
	if got, want := show(parked), m.waiting(false); err2 != nil || got != want {
		t.Fatalf("parked %s, %v, want %s", got, err2, want)
	}
	n := 0
	err := s.Events(1, func(e Event) error {
		if n++; n > len(m.events) || string(e.Payload) != m.events[n-1] {
			t.Fatalf("event %d is %q", n, e.Payload)
		}
		return nil
	})
	if err != nil || n != len(m.events) {
		t.Fatalf("%d events, want %d: %v", n, len(m.events), err)
	}
}

func show(list []Stored) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%s %d %s %s %s; ", e.ID, e.Priority, e.State, e.Body, e.Reason)
	}
	return b.String()
}

// FuzzDecode: bytes that come out of a seal are ours, but a decoder must not
// depend on it. What it takes must come out of the encoder the same.
func FuzzDecode(f *testing.F) {
	e := event{seq: 3, payload: []byte("p"), first: 2, depth: 1, changes: []change{
		{class: classRecord, kind: "k", key: "1"}, {gone: true, class: classEntry, kind: "id", key: place{3, 1}.key()},
	}}
	plain, _ := e.encode()
	f.Add(plain)
	f.Add(encodeEntry(&Entry{ID: "i", Group: "g", Kind: "k"}, []byte("body")))
	f.Add([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, hash, err := decodeEvent(7, b); err == nil {
			again, sum := e.encode()
			if minimal := len(again) == len(b); minimal && (!bytes.Equal(again, b) || sum != hash) {
				t.Errorf("event %x becomes %x", b, again)
			}
		}
		if s, err := decodeEntry(b); err == nil {
			again := encodeEntry(&Entry{ID: s.ID, Group: s.Group, Kind: s.Kind}, s.Body)
			if len(again) == len(b) && !bytes.Equal(again, b) {
				t.Errorf("entry %x becomes %x", b, again)
			}
		}
		_ = checkTable(b)
	})
}
