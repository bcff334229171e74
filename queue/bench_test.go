package queue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// BenchmarkCommit commits what a payment commits (record of 512 bytes, entry,
// event, counter) from 1, 8 and 64 callers. Beside it, on the same disk and in
// the same run, stands what one durable append of 512 bytes costs: "xlimit" is
// commits a second over appends a second, and says more than either.
func BenchmarkCommit(b *testing.B) {
	limit := appendsPerSecond(b)
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, _ := fresh(b)
			var syncs, next atomic.Int64
			s.commitTxn = func(txn *badger.Txn) error { syncs.Add(1); return txn.Commit() }
			value := bytes.Repeat([]byte("p"), 512)
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
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
				}()
			}
			wg.Wait()
			perSecond := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(perSecond, "commits/s")
			b.ReportMetric(perSecond/limit, "xlimit")
			b.ReportMetric(float64(b.N)/float64(syncs.Load()), "commits/sync")
		})
	}
}

func appendsPerSecond(b *testing.B) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "append"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 512)
	n, start := 0, time.Now()
	for time.Since(start) < time.Second {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := datasync(f); err != nil {
			b.Fatal(err)
		}
		n++
	}
	limit := float64(n) / time.Since(start).Seconds()
	b.Logf("append and fdatasync of 512 bytes: %.0f/s", limit)
	return limit
}
