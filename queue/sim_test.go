package queue

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"tapkeeper/queue/queuetest"
)

var (
	simSeed  = flag.Int("sim.seed", -1, "the one seed of TestSimulatedDisk, to see a failure again")
	simSeeds = flag.Int("sim.seeds", 2000, "how many seeds TestSimulatedDisk runs")
)

// simCells is the simulated database as the journal wants it.
type simCells struct{ *queuetest.Cells }

func (c simCells) Read() view   { return c.Cells.Read() }
func (c simCells) Close() error { return nil }

func (c simCells) Write(batch []cell) error {
	keys, values := make([][]byte, len(batch)), make([][]byte, len(batch))
	for i, w := range batch {
		keys[i], values[i] = w.key, w.value
	}
	return c.Cells.Write(keys, values)
}

// life is one seed: a journal on a disk, and what it must hold.
type life struct {
	seed   int
	random *rand.Rand
	disk   *queuetest.Disk
	store  *Store
	states []*model // after each commit that was evaluated and accepted; [0] is empty
	acked  int      // commits that were acknowledged
	tried  int      // commits of the batch after those, acknowledged or not
	cuts   int
}

func newLife(seed int) *life {
	l := &life{
		seed: seed, random: rand.New(rand.NewPCG(uint64(seed), 1)), disk: queuetest.NewDisk(uint64(seed)),
		states: []*model{{records: map[string]string{}, counts: map[string]int64{}}},
	}
	all, err := newAnchor(testMaster)
	if err == nil {
		f := l.disk.Open(anchorName)
		if _, err = f.WriteAt(all, 0); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		panic(err)
	}
	return l
}

// open opens what the disk shows; failures of the disk may stop it.
func (l *life) open() error {
	a, err := loadAnchor(l.disk.Open(anchorName), testMaster)
	if err != nil {
		return err
	}
	l.store = newStore()
	return l.store.start(simCells{queuetest.OpenCells(l.disk)}, a)
}

// simCap is held by every commit of the simulation that counts.
const simCap = 9

// commit draws a commit from few names, so that many conflict.
func (l *life) commit() Commit {
	r := l.random
	c := Commit{Event: fmt.Append(nil, "event ", r.Uint32())}
	key := func() string { return fmt.Sprint(r.IntN(4)) }
	id := func() string { return fmt.Sprint("e", r.IntN(6)) }
	if r.IntN(3) > 0 {
		c.Records = append(c.Records, Record{"a", key(), fmt.Append(nil, r.IntN(3))})
	}
	if r.IntN(4) == 0 {
		c.Records = append(c.Records, Record{"b", key(), nil})
	}
	if r.IntN(4) == 0 {
		c.Guards = append(c.Guards, Guard{"a", key(), [][]byte{nil, []byte("1")}[r.IntN(2)]})
	}
	if r.IntN(2) == 0 {
		c.Counts = append(c.Counts, Count{"n", int64(r.IntN(9) - 3), simCap})
	}
	if r.IntN(2) == 0 {
		e := entry(id(), []string{"", "g", "h"}[r.IntN(3)])
		e.Priority = Priority(r.IntN(priorities))
		c.Entries = append(c.Entries, e)
	}
	switch r.IntN(8) {
	case 0, 1:
		c.Done = append(c.Done, id())
	case 2:
		c.Park = append(c.Park, Park{id(), "why"})
	case 3:
		c.Hold = append(c.Hold, Park{id(), "why"})
	case 4:
		c.Release = append(c.Release, id())
	}
	return c
}

// fill evaluates a few commits on a batch and holds it against the model.
func (l *life) fill(t *testing.T, b *batch) {
	for range 1 + l.random.IntN(4) {
		c := l.commit()
		next := l.states[len(l.states)-1].clone()
		accepted := next.apply(c, false)
		b.take(&request{commit: c, answer: make(chan answer, 1)})
		if err := b.answers[len(b.answers)-1].err; accepted != (err == nil) {
			t.Fatalf("-sim.seed=%d: the model says %v, the journal %v", l.seed, accepted, err)
		}
		if accepted {
			l.states = append(l.states, next)
		}
	}
}

// finish writes a batch, and says whether the journal works on.
func (l *life) finish(t *testing.T, b *batch) bool {
	failed := false
	l.tried = 0
	l.store.finish(b)
	for i, r := range b.requests {
		switch a := <-r.answer; {
		case a.err == nil:
			l.acked = int(a.done.Seq)
		case errors.Is(a.err, ErrUnknown):
			failed = true
			if b.answers[i].err == nil { // a refused one is told the same
				l.tried++
			}
		}
	}
	return !failed
}

// live runs batches, two of them overlapping, until the disk fails or it is over.
func (l *life) live(t *testing.T) {
	if l.random.IntN(2) == 0 {
		l.disk.FailIn = l.random.IntN(16)
	}
	for range l.random.IntN(6) {
		first := l.store.newBatch(nil)
		l.fill(t, first)
		second := l.store.newBatch(first)
		l.fill(t, second)
		tried := len(l.states) - 1
		if !l.finish(t, first) {
			l.store.finish(second) // it is unknown as well, and was never written
			return
		}
		if !l.finish(t, second) {
			return
		}
		if l.acked != tried && len(l.states)-1 != l.acked {
			t.Fatalf("%d commits were accepted, %d acknowledged", tried, l.acked)
		}
	}
}

// crash ends the process, often with the power, and opens again. It returns what
// does not fit, which a planted fault must bring about.
func (l *life) crash(t *testing.T) error {
	l.disk.FailIn = -1
	for {
		if l.random.IntN(4) > 0 {
			l.disk.Cut()
			l.cuts++
		}
		if l.random.IntN(4) == 0 { // and the disk may fail while it opens
			l.disk.FailIn = l.random.IntN(6)
		}
		before := l.disk.Failures
		err := l.open()
		failing := l.disk.Failures > before
		l.disk.FailIn = -1
		var damage *DamageError
		switch {
		case err == nil:
			return l.check(t)
		case errors.As(err, &damage) || !failing:
			return err
		}
	}
}

// check holds the journal against what it must be: all that was acknowledged, and
// of the batch that was under way all or nothing.
func (l *life) check(t *testing.T) error {
	head := int(l.store.Head().Seq)
	if head != l.acked && head != l.acked+l.tried {
		return fmt.Errorf("%d acknowledged, %d under way, %d there", l.acked, l.tried, head)
	}
	l.states = l.states[:head+1]
	l.acked, l.tried = head, 0
	want := l.states[head]
	compare(t, l.store, want)
	if n, err := l.store.Count("n"); n > simCap || err != nil {
		return fmt.Errorf("the counter is %d of %d: %v", n, simCap, err)
	}
	_, err := l.store.Verify()
	return err
}

func (l *life) run(t *testing.T) error {
	if err := l.open(); err != nil {
		return err
	}
	for range 8 {
		l.live(t)
		if err := l.crash(t); err != nil {
			return err
		}
	}
	return nil
}

// TestSimulatedDisk lives thousands of short lives of a journal on a disk that
// loses, tears and refuses, each under its seed.
func TestSimulatedDisk(t *testing.T) {
	from, to := 0, scaled(*simSeeds)
	if *simSeed >= 0 {
		from, to = *simSeed, *simSeed+1
	}
	var cuts, acked atomic.Int64
	t.Run("lives", func(t *testing.T) {
		const parts = 4 // beside each other
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				for seed := from + part; seed < to; seed += parts {
					l := newLife(seed)
					if err := l.run(t); err != nil || t.Failed() {
						t.Fatalf("-sim.seed=%d: %v", seed, err)
					}
					cuts.Add(int64(l.cuts))
					acked.Add(int64(l.acked))
				}
			})
		}
	})
	t.Logf("%d seeds, %d power cuts, %d durable commits, 0 lost", to-from, cuts.Load(), acked.Load())
	if cuts.Load() == 0 || acked.Load() == 0 {
		t.Error("nothing happened")
	}
}

// TestSimulatedLie: a journal that acknowledges before its bytes are on the disk
// must be found out, or the simulation finds nothing.
func TestSimulatedLie(t *testing.T) {
	found := 0
	const seeds = 50
	for seed := range seeds {
		l := newLife(seed)
		l.disk.Lie = true
		if err := l.run(t); err != nil {
			found++
		}
	}
	if found < seeds*9/10 {
		t.Errorf("%d of %d lives without a sync were found out", found, seeds)
	}
}
