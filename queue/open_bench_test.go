//go:build linux

package queue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fillOutbox makes n entries of 512 bytes wait, and settles as many as settled
// says before them.
func fillOutbox(t testing.TB, s *Store, n, settled int) {
	t.Helper()
	message := make([]byte, 512)
	const each, callers = 25, 16
	work := func(total int, name string, settle bool) {
		var wait sync.WaitGroup
		for caller := range callers {
			wait.Go(func() {
				for at := caller * each; at < total; at += callers * each {
					c, d := Commit{Event: []byte("e")}, Commit{Event: []byte("e")}
					for i := at; i < min(at+each, total); i++ {
						id := fmt.Sprint(name, i)
						c.Entries = append(c.Entries, Entry{ID: id, Group: "payment-" + id, Kind: "advice", Seal: func(uint64) ([]byte, error) { return message, nil }})
						d.Done = append(d.Done, id)
					}
					_, err := s.Commit(context.Background(), c)
					if err == nil && settle {
						_, err = s.Commit(context.Background(), d)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
	}
	work(settled, "settled-", true)
	work(n, "0198f2a0-7c11-7abc-8def-", false)
}

// childOpen opens a store and says how long it took, by the clock and of the
// processors, and how many bytes more are resident than before.
func childOpen() {
	before, busy, start := resident(), processorTime(), time.Now()
	s, err := Open(Options{Dir: os.Getenv("QUEUE_DIR"), Master: testMaster})
	took, used := time.Since(start), processorTime()-busy
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	waiting, _ := s.Depth()
	fmt.Println(waiting, took.Microseconds(), used.Microseconds(), resident()-before)
	s.Close()
	os.Exit(0)
}

func resident() int {
	raw, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			n, _ := strconv.Atoi(f[1])
			return n << 10
		}
	}
	return 0
}

// BenchmarkOpen opens a store with 100,000 waiting entries in a process of its own.
func BenchmarkOpen(b *testing.B) {
	s, dir := fresh(b)
	const n = 100_000
	fillOutbox(b, s, n, 0)
	shut(b, s)
	var took, busy, memory float64
	for range b.N {
		out, err := child(b, "open", dir).Output()
		var waiting, us, cpu, bytes int
		if fmt.Sscan(string(out), &waiting, &us, &cpu, &bytes); err != nil || waiting != n {
			b.Fatalf("%d wait: %s, %v", waiting, out, err)
		}
		took, busy, memory = took+float64(us), busy+float64(cpu), max(memory, float64(bytes))
	}
	b.ReportMetric(took/float64(b.N)/1000, "open-ms")
	b.ReportMetric(busy/float64(b.N)/1000, "cpu-ms")
	b.ReportMetric(memory/(1<<20), "resident-MiB")
	b.ReportMetric(0, "ns/op")
}

// nextEntry is how long the first entry takes to find.
func nextEntry(t testing.TB, s *Store) time.Duration {
	best := time.Hour
	for range 20 {
		start := time.Now()
		for range 50 {
			if list, err := s.Waiting(1); err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
		}
		best = min(best, time.Since(start)/50)
	}
	return best
}

// The next entry takes as long to find after many have left as after few: 20,000
// here, a million with TAPKEEPER_SOAK=50.
func TestNextEntryWhateverHasLeft(t *testing.T) {
	few, many := 10, scaled(20_000)
	var took [2]time.Duration
	for i, settled := range []int{few, many} {
		s, dir := fresh(t)
		fillOutbox(t, s, 10, settled)
		s = reopen(t, s, dir)
		took[i] = nextEntry(t, s)
		shut(t, s)
		_ = os.RemoveAll(filepath.Dir(dir))
	}
	t.Logf("after %d: %v, after %d: %v", few, took[0], many, took[1])
	if took[1] > 2*took[0]+5*time.Microsecond { // the machine may be busy
		t.Errorf("the first entry took %v after %d had left, %v after %d", took[0], few, took[1], many)
	}
}
