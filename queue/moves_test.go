package queue

import (
	"fmt"
	"testing"
)

func urgent(e Entry, p Priority) Entry {
	e.Priority = p
	return e
}

// Reversals go first, then advices, then the rest; within a group nothing
// overtakes, whatever its priority.
func TestPriorities(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Entries: []Entry{
		urgent(entry("report", "a"), PriorityRest), urgent(entry("advice1", "b"), PriorityAdvice), urgent(entry("alone", ""), PriorityRest),
		urgent(entry("advice2", "c"), PriorityAdvice), urgent(entry("behind", "b"), PriorityReversal), urgent(entry("back", "d"), PriorityReversal),
	}})
	for range 2 {
		wantIDs(t, s, "back advice1 advice2 report alone ", "")
		if list, err := s.Waiting(2); ids(t, list, err) != "back advice1 " {
			t.Errorf("two of them: %v", list)
		}
		s = reopen(t, s, dir)
	}
	commit(t, s, Commit{Done: []string{"advice1"}})
	wantIDs(t, s, "behind back advice2 report alone ", "")
	verify(t, s)
}

// What a person holds keeps its group back, and others go on; what is parked
// keeps nobody back. Both return to their place.
func TestHold(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Entries: []Entry{entry("a1", "a"), entry("a2", "a"), entry("b1", "b"), entry("n1", "")}})
	steps := []struct {
		commit         Commit
		waiting, aside string
		depth          Depth
	}{
		{Commit{Hold: []Park{{"a1", "asked for by the shop"}}}, "b1 n1 ", "a1 ", Depth{Queued: 3, Held: 1}},
		{Commit{Hold: []Park{{"n1", "too"}}}, "b1 ", "a1 n1 ", Depth{Queued: 2, Held: 2}},
		{Commit{Park: []Park{{"b1", "refused"}}}, "", "a1 b1 n1 ", Depth{Queued: 1, Parked: 1, Held: 2}},
		{Commit{Entries: []Entry{entry("b2", "b")}}, "b2 ", "a1 b1 n1 ", Depth{Queued: 2, Parked: 1, Held: 2}},
		{Commit{Release: []string{"a1", "b1"}}, "a1 b1 ", "n1 ", Depth{Queued: 4, Held: 1}},
		{Commit{Hold: []Park{{"a2", "the second"}}}, "a1 b1 ", "a2 n1 ", Depth{Queued: 3, Held: 2}},
		{Commit{Done: []string{"a1"}}, "b1 ", "a2 n1 ", Depth{Queued: 2, Held: 2}},
		{Commit{Done: []string{"a2", "n1"}}, "b1 ", "", Depth{Queued: 2}},
	}
	for i, step := range steps {
		commit(t, s, step.commit)
		for range 2 {
			wantIDs(t, s, step.waiting, step.aside)
			if owes := s.Owes("b"); !owes || s.Owes("c") {
				t.Errorf("owes b: %v, c: %v", owes, s.Owes("c"))
			}
			if got := s.Outbox(); got != step.depth {
				t.Errorf("depth %+v, want %+v", got, step.depth)
			}
			s = reopen(t, s, dir)
		}
		verify(t, s)
		if t.Failed() {
			t.Fatalf("at step %d", i)
		}
	}
}

// Sent is what the link was given; it is forgotten at a restart and when the
// entry is set aside.
func TestSent(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Entries: []Entry{entry("e1", ""), entry("e2", ""), entry("e3", "")}})
	s.Sent("e1", "e2", "unknown")
	if got := s.Outbox(); got != (Depth{Queued: 1, Sent: 2}) {
		t.Errorf("sent two: %+v", got)
	}
	commit(t, s, Commit{Done: []string{"e1"}, Hold: []Park{{"e2", "why"}}})
	if got := s.Outbox(); got != (Depth{Queued: 1, Held: 1}) {
		t.Errorf("one left, one held: %+v", got)
	}
	s.Sent("e2", "e3")
	list, err := s.Waiting(9)
	if ids(t, list, err) != "e3 " || list[0].State != Sent {
		t.Errorf("waiting %+v", list)
	}
	s = reopen(t, s, dir)
	if got := s.Outbox(); got != (Depth{Queued: 1, Held: 1}) {
		t.Errorf("after a restart: %+v", got)
	}
}

// A refund of a payment that was not sent: in one commit the advice leaves and
// its reversal takes its place. The commit fails as a whole when the advice has
// gone, and nobody ever sees both or neither.
func TestAdviceReplacedByReversal(t *testing.T) {
	s, dir := fresh(t)
	replace := func(n int) Commit {
		return Commit{
			Event: []byte("refunded before it was sent"), Records: []Record{{"payment", fmt.Sprint("p", n), []byte("reversed")}},
			Done:    []string{fmt.Sprint("advice", n)},
			Entries: []Entry{urgent(entry(fmt.Sprint("reversal", n), fmt.Sprint("p", n)), PriorityReversal)},
			Counts:  []Count{{"offline", -700, 0}},
		}
	}
	for n := range 3 {
		commit(t, s, Commit{
			Records: []Record{{"payment", fmt.Sprint("p", n), []byte("stored")}}, Counts: []Count{{"offline", 700, 5000}},
			Entries: []Entry{urgent(entry(fmt.Sprint("advice", n), fmt.Sprint("p", n)), PriorityAdvice), entry(fmt.Sprint("report", n), fmt.Sprint("p", n))},
		})
	}
	commit(t, s, replace(1))
	for range 2 {
		wantIDs(t, s, "advice0 advice2 report1 ", "") // the reversal is the last of its group
		if n, err := s.Count("offline"); n != 1400 || err != nil {
			t.Errorf("the counter is %d, %v", n, err)
		}
		s = reopen(t, s, dir)
	}
	commit(t, s, Commit{Done: []string{"report1"}})
	wantIDs(t, s, "reversal1 advice0 advice2 ", "")
	if _, err := s.Commit(t.Context(), replace(1)); !isConflict("advice1")(err) {
		t.Errorf("replaced twice: %v", err)
	}
	commit(t, s, Commit{Done: []string{"advice0"}}) // its receipt came first
	if _, err := s.Commit(t.Context(), replace(0)); !isConflict("advice0")(err) {
		t.Errorf("replaced after its receipt: %v", err)
	}
	wantValue(t, s, "payment", "p0", []byte("stored"))
	verify(t, reopen(t, s, dir))
}
