package emv

import (
	"sync"
	"testing"

	"tapkeeper/emv/emvtest"
)

// load reads the vectors once for all tests; nothing changes them.
var load = sync.OnceValues(emvtest.Dialogues)

func dialogues(t testing.TB) []emvtest.Dialogue {
	t.Helper()
	list, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestConformance plays every dialogue in every way that must make no
// difference: with and without the work done early, and with the pending record
// taken through the store.
func TestConformance(t *testing.T) {
	for _, way := range []struct {
		name         string
		work, reload bool
	}{{"work early", true, false}, {"work late", false, false}, {"reloaded", true, true}} {
		t.Run(way.name, func(t *testing.T) {
			passed, taps := 0, 0
			for _, d := range dialogues(t) {
				ok := t.Run(d.Group+"/"+d.ID, func(t *testing.T) {
					s := newStage(d)
					s.work, s.reload = way.work, way.reload
					s.play(t, d)
				})
				for _, sale := range d.Sales {
					taps += len(sale.Taps)
				}
				if ok {
					passed++
				}
			}
			if taps == 0 {
				t.Error("no tap was played")
			}
			t.Logf("%d dialogues with %d taps agree", passed, taps)
		})
	}
}
