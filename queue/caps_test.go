package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// 64 callers race for the last yuan of each cap, again and again while others give
// yuans back: one of them gets it, the rest hear which cap it was, and nobody ever
// reads more than the cap.
func TestRaceForTheLastYuan(t *testing.T) {
	s, dir := fresh(t)
	const callers, rounds = 64, 12
	caps := []Count{{"exposure/terminal", 50, 500}, {"exposure/wallet-7", 1, 100}, {"taps/wallet-7", 1, 3}}
	for _, c := range caps { // to one below the cap
		commit(t, s, Commit{Counts: []Count{{c.Name, c.Cap - c.Delta, c.Cap}}})
	}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, c := range caps {
				if n, err := s.Count(c.Name); n > c.Cap || err != nil {
					t.Errorf("%s is %d of %d: %v", c.Name, n, c.Cap, err)
				}
			}
		}
	})
	for round := range rounds {
		for i, c := range caps {
			want := caps[i : i+1]
			if round%3 == 2 {
				want = caps // all of them in one commit, or none
			}
			race(t, s, want, callers)
			var back []Count
			for _, w := range want {
				back = append(back, Count{w.Name, -w.Delta, 0})
			}
			commit(t, s, Commit{Counts: back})
			if n, err := s.Count(c.Name); n != c.Cap-c.Delta || err != nil {
				t.Fatalf("%s is %d, %v, want %d", c.Name, n, err, c.Cap-c.Delta)
			}
		}
	}
	close(stop)
	watch.Wait()
	verify(t, reopen(t, s, dir))
}

// race lets callers commit the same counts at once; one must pass.
func race(t *testing.T, s *Store, counts []Count, callers int) {
	t.Helper()
	var passed atomic.Int64
	var wait sync.WaitGroup
	begin := make(chan struct{})
	for i := range callers {
		wait.Go(func() {
			<-begin
			_, err := s.Commit(context.Background(), Commit{Event: fmt.Append(nil, i), Counts: counts})
			var full *CapError
			switch {
			case err == nil:
				passed.Add(1)
			case !errors.As(err, &full) || full.Value != full.Cap || full.Name != counts[0].Name:
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	close(begin)
	wait.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d callers of %d got the last yuan", passed.Load(), callers)
	}
}
