package emv

import (
	"sort"
	"testing"
	"time"

	"tapkeeper/emv/emvtest"
)

// BenchmarkTap measures the kernel's own time in one tap that is approved
// offline: what it takes between an answer and the next step. Work that Step
// offers runs beside the phone, so it is measured apart. The card takes none.
func BenchmarkTap(b *testing.B) {
	var d emvtest.Dialogue
	for _, d = range dialogues(b) {
		if approved(d) && !d.Terminal.Connected {
			break
		}
	}
	if !approved(d) {
		b.Skip("these vectors hold no offline approval")
	}
	for _, way := range []struct {
		name      string
		beside    bool
		cache     bool
		madeAhead bool
	}{{"work beside the phone", true, true, true}, {"alone, cold", false, false, false}} {
		b.Run(way.name, func(b *testing.B) {
			s := newStage(d)
			if !way.cache {
				s.terminal.Issuers = nil
			}
			times := make([]time.Duration, 0, b.N)
			var beside time.Duration
			for range b.N {
				own, work := timeTap(b, s, d.Sales[0], way.beside, way.madeAhead)
				times = append(times, own)
				beside += work
			}
			sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
			us := func(t time.Duration) float64 { return float64(t.Nanoseconds()) / 1000 }
			b.ReportMetric(us(times[len(times)/2]), "p50-us/tap")
			b.ReportMetric(us(times[len(times)*99/100]), "p99-us/tap")
			b.ReportMetric(us(beside/time.Duration(b.N)), "beside-us/tap")
		})
	}
}

func timeTap(b *testing.B, s *stage, sale emvtest.Sale, beside, madeAhead bool) (own, work time.Duration) {
	random := &draws{TerminalDraws: sale.Draws}
	moment := s.moment(b, sale)
	clear(s.history)
	var ahead *KeyPair
	if madeAhead {
		var err error
		if ahead, err = NewKeyPair(&draws{TerminalDraws: sale.Draws}); err != nil {
			b.Fatal(err)
		}
	}
	start := time.Now()
	attempt, _ := Begin(s.terminal, saleOf(sale), s.lookups())
	x := attempt.Activate(moment, random)
	if ahead != nil {
		x.UseKey(ahead)
	}
	step := x.Start()
	next := 0
	for step.Outcome == nil {
		own += time.Since(start)
		if step.Work != nil && beside {
			start = time.Now()
			step.Work()
			work += time.Since(start)
		}
		var rapdu []byte
		if step.Send != nil {
			random.last = sale.Taps[0].Steps[next].CAPDU[1]
			rapdu = sale.Taps[0].Steps[next].RAPDU
			next++
		}
		start = time.Now()
		if step.Store != nil {
			step = x.Stored()
		} else {
			step = x.Answer(rapdu, 5*time.Millisecond)
		}
	}
	own += time.Since(start)
	if step.Outcome.Result != Approved {
		b.Fatalf("%v: %s", step.Outcome.Result, step.Outcome.Detail)
	}
	return own, work
}
