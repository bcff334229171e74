package lane_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
)

// run is one kind of payment, killed at every step of it.
type run struct {
	name   string
	who    lanetest.Person
	minor  int64
	online bool           // the network is there
	state  terminal.State // what it comes to when nobody kills
}

var runs = []run{
	{"approved-and-settled", rich, 1_00, true, terminal.Approved},
	{"asked-and-approved", rich, 250_00, true, terminal.Approved},
	{"asked-and-refused", poor, 260_00, true, terminal.Declined},
	{"stored", rich, 1_00, false, terminal.Stored},
}

// minPoints over all runs: fewer, and the points are not where they should be.
const minPoints = 40

// mustHit are the kinds of points that some run must have killed at: a part that
// the test no longer stands in front of would otherwise go unnoticed.
var mustHit = []string{
	"before a commit", "after a commit", "a phone in the field", "before " + generateAC, "after " + generateAC,
	"before the phone is released", "before the wallet is asked", "after the wallet was asked",
	"before the wallet's receipt", "after the wallet's receipt",
}

// stride tries every point, or every fourth with -short.
func stride() int {
	if testing.Short() {
		return 4
	}
	return 1
}

// TestCrash kills the daemon at each step of a payment, restarts it, and holds
// what comes of the payment against what the till was told and against the
// wallet's ledger (I1 to I4, I10).
func TestCrash(t *testing.T) {
	var all atomic.Int64
	var hit sync.Map
	t.Run("runs", func(t *testing.T) {
		for _, r := range runs {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				all.Add(int64(r.everyPoint(t, &hit)))
			})
		}
		t.Run("same-order-again", func(t *testing.T) {
			t.Parallel()
			all.Add(int64(sameOrderAgain(t)))
		})
		for _, first := range []string{"after " + generateAC, "before the wallet is asked"} {
			t.Run("killed-again "+first, func(t *testing.T) {
				t.Parallel()
				all.Add(int64(killedAgain(t, first)))
			})
		}
	})
	t.Logf("%d points over all", all.Load())
	for _, name := range mustHit {
		if _, ok := hit.Load(name); !ok && !testing.Short() && !t.Failed() {
			t.Errorf("nothing was killed %s", name)
		}
	}
	if n := int(all.Load()) * stride(); n < minPoints && !t.Failed() {
		t.Errorf("only %d points, want at least %d", n, minPoints)
	}
}

// everyPoint kills at point 1, 2, 3, … of one payment each, until one is through.
func (r run) everyPoint(t *testing.T, hit *sync.Map) (points int) {
	s := newShop(t)
	began := time.Now()
	s.open()
	for k := 1; ; k += stride() {
		if !r.online {
			s.network(false)
			_, _ = s.until("the link is down", func(a answer) bool { return !a.Up })
		}
		order := fmt.Sprintf("%s-%d", r.name, k)
		told, killed := s.pay(r, order, strconv.Itoa(k))
		dying := s.heard.dying
		if killed {
			points++
			_, name, _ := strings.Cut(dying, ", ")
			hit.Store(name, true)
			if err := s.start(""); err != nil {
				t.Fatal(err)
			}
			s.heard.dying = dying
		} else if last := told[len(told)-1]; last.State != r.state {
			t.Fatalf("nobody killed, and the payment came to %s, want %s:%s", last.State, r.state, describe(told))
		}
		s.network(true)
		payments := s.audit(order, told)
		if s.phoneAnswered.Load() {
			s.knows(payments)
		}
		if !killed {
			break
		}
	}
	s.stop()
	t.Logf("%s: %d points, %s", r.name, points, time.Since(began).Round(time.Millisecond))
	return points
}

// open starts the daemon for the first time.
func (s *shop) open() {
	s.t.Helper()
	if err := s.start(""); err != nil {
		s.t.Fatal(err)
	}
	s.connected()
}

func (s *shop) connected() {
	s.t.Helper()
	if _, err := s.until("the wallet is connected", func(a answer) bool { return a.Connected }); err != nil {
		s.t.Fatal(err)
	}
}

// pay opens a payment with a phone in the field, and returns what the till was
// told until the daemon killed itself, or until nothing moves any more.
func (s *shop) pay(r run, order, kill string) (told []terminal.Payment, killed bool) {
	s.t.Helper()
	s.tap(r.who)
	defer s.away()
	s.tell("pay %s %d key-%s %s", order, r.minor, order, kill)
	_, err := s.until("the payment is through", func(answer) bool {
		last, ok := s.heard.last(order)
		return ok && (last.End() != "" || !r.online && last.State.Ended())
	})
	if err == nil {
		err = s.quiet()
	}
	return s.heard.toldOf(order), err != nil
}

// quiet waits until no further points are passed, and disarms.
func (s *shop) quiet() error {
	s.t.Helper()
	const still = 30 * time.Millisecond
	passed := -1
	for {
		a, err := s.ask("status")
		if err != nil {
			return err
		}
		if a.Points == passed {
			_, err = s.ask("disarm")
			return err
		}
		passed = a.Points
		time.Sleep(still)
	}
}
