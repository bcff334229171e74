package uplink

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"tapkeeper/uplink/wire"
)

func plainTiming() Timing {
	var t Timing
	t.setDefaults()
	return t
}

func asIs(d time.Duration) time.Duration { return d }

func entry(n int, group string) Entry {
	return Entry{ID: wire.ID{byte(n >> 8), byte(n), 1}, Group: group, Kind: wire.KindAdvice}
}

func ids(entries []Entry) string {
	s := ""
	for _, e := range entries {
		s += fmt.Sprint(int(e.ID[0])<<8|int(e.ID[1]), " ")
	}
	return s
}

func TestPlanOrderAndDelays(t *testing.T) {
	p := newPlanner(plainTiming(), asIs)
	t0 := time.Unix(1000, 0)
	box := []Entry{entry(1, "a"), entry(2, "a"), entry(3, "b")}
	step := func(at time.Duration, session uint64, want string) time.Duration {
		t.Helper()
		p.keep(box)
		due, wake := p.plan(t0.Add(at), box, session, t0.Add(at))
		if got := ids(due); got != want {
			t.Errorf("at %v: sends %q, want %q", at, got, want)
		}
		return wake
	}
	step(0, 1, "1 3 ")
	if wake := step(time.Second, 1, ""); wake != 4*time.Second {
		t.Errorf("wakes after %v, want 4s", wake)
	}
	step(5*time.Second, 1, "1 3 ")
	step(14*time.Second, 1, "") // doubled: 10 s
	step(15*time.Second, 1, "1 3 ")
	step(16*time.Second, 2, "1 3 ") // at once on a new connection
	step(21*time.Second, 2, "1 3 ") // and the delay begins anew
	box = box[1:]                   // the first left the outbox
	step(22*time.Second, 2, "2 ")
	if len(p.flights) != 2 {
		t.Errorf("%d flights, want 2", len(p.flights))
	}
	for range 20 {
		p.flights[box[0].ID].delay.next()
	}
	if d := p.flights[box[0].ID].delay.next(); d != 5*time.Minute {
		t.Errorf("delay grows to %v, want 5m", d)
	}
}

func TestPlanWindow(t *testing.T) {
	p := newPlanner(plainTiming(), asIs)
	t0 := time.Unix(1000, 0)
	var box []Entry
	for n := range 200 {
		box = append(box, entry(n, fmt.Sprint(n)))
	}
	due, wake := p.plan(t0, box, 1, time.Time{})
	if len(due) != window || wake != slotCheck {
		t.Fatalf("sends %d, wakes after %v", len(due), wake)
	}
	// The wallet is silent: the same entries are tried again, no others.
	due, _ = p.plan(t0.Add(6*time.Second), box, 1, time.Time{})
	if len(due) != window || due[0].ID != box[0].ID {
		t.Fatalf("a silent wallet is sent %d, first %v", len(due), due[0].ID)
	}
	// It answers something else: those it leaves unanswered block nobody.
	due, _ = p.plan(t0.Add(12*time.Second), box, 1, t0.Add(11*time.Second))
	if len(due) != window || due[0].ID != box[window].ID {
		t.Fatalf("a wallet that answers others is sent %d, first %v", len(due), due[0].ID)
	}
}

// A full window is filled again when half of it is free, so that messages share
// publications; a last few do not wait for it.
func TestPlanFillsByHalves(t *testing.T) {
	p := newPlanner(plainTiming(), asIs)
	t0 := time.Unix(1000, 0)
	var box []Entry
	for n := range 200 {
		box = append(box, entry(n, fmt.Sprint(n)))
	}
	p.plan(t0, box, 1, time.Time{})
	for left, want := range map[int]int{1: 0, window/2 - 1: 0, window / 2: window / 2} {
		p := *p
		p.flights = maps.Clone(p.flights)
		rest := box[left:]
		p.keep(rest)
		if due, _ := p.plan(t0, rest[:p.reach], 1, t0); len(due) != want || p.reach != lookAhead {
			t.Errorf("%d left: sends %d, want %d; reads %d", left, len(due), want, p.reach)
		}
	}
	few := box[:window]
	p.keep(few[2:])
	if due, _ := p.plan(t0, append(few[2:window:window], entry(999, "new")), 1, t0); len(due) != 1 {
		t.Errorf("the last waits: sends %d", len(due))
	}
}

func TestPlanSeesBehindALongGroup(t *testing.T) {
	p := newPlanner(plainTiming(), asIs)
	var box []Entry
	for n := range 3 * lookAhead {
		box = append(box, entry(n, "one"))
	}
	last := entry(9999, "other")
	box = append(box, last)
	var sent []Entry
	for range 10 {
		read := box[:min(p.reach, len(box))]
		p.keep(read)
		due, _ := p.plan(time.Unix(1000, 0), read, 1, time.Time{})
		sent = append(sent, due...)
	}
	if len(sent) != 2 || sent[1].ID != last.ID {
		t.Errorf("sends %s", ids(sent))
	}
}

func TestPresence(t *testing.T) {
	t0 := time.Unix(1000, 0)
	p := presence{within: time.Minute, up: true}
	want := func(at time.Duration, ok bool) {
		t.Helper()
		if got := p.connected(t0.Add(at)); got != ok {
			t.Errorf("connected %v at %v", got, at)
		}
	}
	want(0, false)
	p.heard(t0)
	want(time.Minute, true)
	want(time.Minute+1, false)
	p.missed()
	want(0, false)
	p.heard(t0)
	want(0, true)
	p.up = false
	want(0, false)
}

func TestBackoff(t *testing.T) {
	b := backoff{first: time.Second, max: 5 * time.Second}
	for _, want := range []time.Duration{1, 2, 4, 5, 5} {
		if got := b.next(); got != want*time.Second {
			t.Errorf("got %v, want %v", got, want*time.Second)
		}
	}
	b.reset()
	if got := b.next(); got != time.Second {
		t.Errorf("after reset %v", got)
	}
	b.exhaust()
	if got := b.next(); got != 5*time.Second {
		t.Errorf("exhausted %v", got)
	}
}

func TestRhythm(t *testing.T) {
	r := newRhythm(20 * time.Second)
	got := ""
	for _, heard := range []bool{false, false, false, false, false, false, true, true, false, false} {
		got += fmt.Sprint(r.next(heard).Seconds(), " ")
	}
	if got != "2 4 8 16 20 20 20 20 2 4 " {
		t.Error(got)
	}
}
