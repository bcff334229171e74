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
// difference: with and without the work done early, with the pending record
// taken through the store, and with one cache of issuer certificates for all.
func TestConformance(t *testing.T) {
	for _, way := range []struct {
		name                string
		work, reload, cache bool
	}{{"work early", true, false, false}, {"work late", false, false, true}, {"reloaded", true, true, false}} {
		t.Run(way.name, func(t *testing.T) {
			passed, taps, commands, cache := 0, 0, 0, &IssuerCache{}
			for _, d := range dialogues(t) {
				ok := t.Run(d.Group+"/"+d.ID, func(t *testing.T) {
					s := newStage(d)
					s.work, s.reload = way.work, way.reload
					if way.cache {
						s.terminal.Issuers = cache
					}
					s.play(t, d)
				})
				for _, sale := range d.Sales {
					taps += len(sale.Taps)
					for _, tap := range sale.Taps {
						commands += len(tap.Steps)
					}
				}
				if ok {
					passed++
				}
			}
			if taps == 0 || commands == 0 {
				t.Error("no tap was played")
			}
			t.Logf("%d of %d dialogues agree: %d taps, %d commands", passed, len(dialogues(t)), taps, commands)
		})
	}
}
