package backend

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/ledger/ledgertest"
)

// BenchmarkHandle is one worker that answers advices of one terminal: signatures,
// record, posting and receipt, on disk. The number of messages in hand at once is
// what a broker lets through; those that wait together share a commit.
func BenchmarkHandle(b *testing.B) {
	for _, books := range []string{"sqlite", "postgresql"} {
		for _, inHand := range []int{1, 32, 128} {
			b.Run(fmt.Sprintf("%s/inhand=%d", books, inHand), func(b *testing.B) { benchmarkHandle(b, books, inHand) })
		}
	}
}

func benchmarkHandle(b *testing.B, books string, inHand int) {
	name := filepath.Join(b.TempDir(), "ledger.db")
	if books == "postgresql" {
		name = ledgertest.Postgres(b)
	}
	s := newShopIn(b, name)
	messages := make([]sealed, b.N)
	for n := range messages {
		if n%tapsAPhone == 0 {
			s.reissue(s.ledger, "alice", &Allowance{TotalMinor: 1_000_000, PerTapMinor: 1_000, MaxTaps: tapsAPhone})
		}
		messages[n] = s.seal(s.numbered(uint64(n)))
	}
	began, used := time.Now(), cpuTime()
	b.ResetTimer()
	var next atomic.Int64
	var work sync.WaitGroup
	for range inHand {
		work.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if _, err := s.service.Handle(b.Context(), messages[n-1].topic, messages[n-1].raw); err != nil {
					b.Error(err)
				}
			}
		})
	}
	work.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "msg/s")
	b.ReportMetric(float64((cpuTime()-used).Microseconds())/float64(b.N), "cpu-us/msg") // of this process, the database's not
	if got := s.balance("merchant:tea"); got != int64(b.N) {
		b.Errorf("%d of %d were taken", got, b.N)
	}
	if b.N <= 1000 {
		return // mostly empty pages
	}
	if books == "postgresql" {
		b.ReportMetric(float64(ledgertest.Bytes(b, name))/float64(b.N), "B/payment")
	} else {
		s.must(s.ledger.Close())
		info, err := os.Stat(name)
		s.must(err)
		b.ReportMetric(float64(info.Size())/float64(b.N), "B/payment")
		s.ledger, err = ledger.Open(b.Context(), name)
		s.must(err)
	}
}

// cpuTime is what this process has used: unlike the clock it says the same on a busy machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tapsAPhone spreads the taps as a shop's day does: a phone comes a few times.
const tapsAPhone = 50

// numbered is the advice of payment n over one minor unit.
func (s *shop) numbered(n uint64) wire.Data {
	s.Helper()
	sale := s.sale(0, 1, backendtest.AskTC, 1)
	binary.BigEndian.PutUint64(sale.Payment[8:], n+1)
	record, _, err := sale.Do(s.phone)
	s.must(err)
	p := about(0, 1, 1, record)
	p.PaymentID = sale.Payment
	return wire.Advice{Payment: p}
}

// BenchmarkReconcile is the answer about a terminal's day of 10,000 payments, as
// it is asked at every step of a search by halves, in a ledger with other such days.
func BenchmarkReconcile(b *testing.B) {
	for _, books := range []string{"sqlite", "postgresql"} {
		b.Run(books, func(b *testing.B) {
			name, days := filepath.Join(b.TempDir(), "ledger.db"), 20
			if books == "postgresql" {
				name, days = ledgertest.Postgres(b), 3 // to fill it takes longer than to ask
			}
			s := newShopIn(b, name)
			s.fill(days, 10_000)
			none := wire.Summarise("CNY", nil)
			m := s.seal(wire.Reconciliation{BusinessDay: "2026-11-01", Currency: "CNY", Summary: none, Refunds: none,
				Ranges: []wire.Range{{Of: wire.BookPayments, Summary: none}}})
			for b.Loop() {
				open[wire.ReconciliationAnswer](s, m, s.deliver(m))
			}
		})
	}
}

// fill adds tombstones of so many days before the shop's own.
func (s *shop) fill(days, each int) {
	s.Helper()
	for d := range days {
		s.must(s.ledger.Update(s.Context(), func(tx *ledger.Tx) error {
			for n := range each {
				p := ledger.Payment{ID: [16]byte{1, byte(d), byte(n >> 8), byte(n)}, Merchant: "tea", Terminal: "t1", AmountMinor: 100,
					Currency: "CNY", BusinessDay: fmt.Sprintf("2026-11-%02d", d+1), Sequence: uint64(d*each + n + 1)}
				if err := tx.Bury(p, noon); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}
