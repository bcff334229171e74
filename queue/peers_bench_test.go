//go:build unix

package queue

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite" // the driver of that name
)

// BenchmarkPeers stores one value of 512 bytes durably in other databases, in turn
// with the raw append on the same disk, as BenchmarkCommit does with a payment's
// record, message, event and counter. "xraw" compares with its "xraw".
func BenchmarkPeers(b *testing.B) {
	value := bytes.Repeat([]byte("p"), 512)
	var id atomic.Uint64
	key := func() []byte { return binary.BigEndian.AppendUint64(nil, id.Add(1)) }
	bolt := func(b *testing.B, how func(*bbolt.DB) func(func(*bbolt.Tx) error) error) func() error {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "bolt"), 0o600, nil)
		if err == nil {
			err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("b")); return err })
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return func() error {
			return how(db)(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("b")).Put(key(), value) })
		}
	}
	update := func(db *bbolt.DB) func(func(*bbolt.Tx) error) error { return db.Update }
	batch := func(db *bbolt.DB) func(func(*bbolt.Tx) error) error { return db.Batch }
	b.Run("bbolt-update/callers=1", func(b *testing.B) { peer(b, 1, bolt(b, update)) })
	b.Run("bbolt-batch/callers=64", func(b *testing.B) { peer(b, 64, bolt(b, batch)) })
	b.Run("sqlite-wal-full/callers=1", func(b *testing.B) {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "lite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		if err == nil {
			db.SetMaxOpenConns(1)
			_, err = db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		insert, err := db.Prepare("INSERT INTO t (value) VALUES (?)")
		if err != nil {
			b.Fatal(err)
		}
		peer(b, 1, func() error { _, err := insert.Exec(value); return err })
	})
}

// peer runs put from so many callers in turn with the raw append.
func peer(b *testing.B, callers int, put func() error) {
	raw := newRaw(b, filepath.Join(b.TempDir(), "peer"))
	var took time.Duration
	for from := 0; from < b.N; from += callers * slice {
		raw.run(slice)
		var left atomic.Int64
		left.Store(int64(min(callers*slice, b.N-from)))
		start := time.Now()
		var wait sync.WaitGroup
		for range callers {
			wait.Go(func() {
				for left.Add(-1) >= 0 {
					if err := put(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		took += time.Since(start)
	}
	perSecond := float64(b.N) / took.Seconds()
	b.ReportMetric(perSecond, "puts/s")
	b.ReportMetric(perSecond/raw.perSecond(), "xraw")
	b.ReportMetric(0, "ns/op")
}
