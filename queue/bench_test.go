//go:build unix

package queue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCommit commits what a payment commits (record and message of 512
// bytes, event, counter) from 1, 8 and 64 callers. In turn with it, on the same
// disk, runs what one durable append of 512 bytes costs: "xraw" is commits a
// second over appends a second, and says more than either.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, dir := fresh(b)
			var syncs atomic.Int64
			var write func([]cell) error
			write = hook(s, func(batch []cell) error { syncs.Add(1); return write(batch) })
			raw := newRaw(b, dir)
			var busy time.Duration
			b.ResetTimer()
			for from := 0; from < b.N; from += callers * slice {
				b.StopTimer()
				raw.run(slice)
				b.StartTimer()
				before := processorTime()
				commitPayments(b, s, callers, from, min(from+callers*slice, b.N))
				busy += processorTime() - before
			}
			perSecond := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(perSecond, "commits/s")
			b.ReportMetric(perSecond/raw.perSecond(), "xraw")
			b.ReportMetric(float64(b.N)/float64(syncs.Load()), "commits/sync")
			b.ReportMetric(float64(busy.Microseconds())/float64(b.N), "cpu-µs/commit")
		})
	}
}

// processorTime is what the process has used of all cores: on a busy machine it
// says more than the clock.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// slice is how many commits of a caller, or appends, run before it is the
// others' turn: what else the machine does hits both.
const slice = 200

func commitPayments(b *testing.B, s *Store, callers, from, to int) {
	value := bytes.Repeat([]byte("p"), 512)
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(to); i = next.Add(1) {
				id := fmt.Sprint("payment-", i)
				_, err := s.Commit(context.Background(), Commit{
					Guards:  []Guard{{"payment", id, nil}},
					Records: []Record{{"payment", id, value}},
					Event:   []byte("stored"),
					Entries: []Entry{{ID: id, Group: id, Kind: "advice", Seal: func(uint64) ([]byte, error) { return value, nil }}},
					Counts:  []Count{{"offline", 1, 1 << 40}},
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// raw is a file that grows by durable appends of 512 bytes.
type raw struct {
	tb   testing.TB
	file *os.File
	n    int
	took time.Duration
}

func newRaw(tb testing.TB, dir string) *raw {
	f, err := os.Create(filepath.Join(filepath.Dir(dir), "append"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return &raw{tb: tb, file: f}
}

func (r *raw) run(n int) {
	start := time.Now()
	for range n {
		if _, err := r.file.Write(make([]byte, 512)); err != nil {
			r.tb.Fatal(err)
		}
		if err := datasync(r.file); err != nil {
			r.tb.Fatal(err)
		}
	}
	r.n, r.took = r.n+n, r.took+time.Since(start)
}

func (r *raw) perSecond() float64 { return float64(r.n) / r.took.Seconds() }
