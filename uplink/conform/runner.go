package conform

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"tapkeeper/uplink/wire"
)

// testCase is one numbered case. Its function returns when the backend has kept
// the rule, and calls one of the scene's failing methods when it has not.
type testCase struct {
	number int
	name   string
	rule   string
	core   bool // needs no judge of evidence records
	play   func(*scene)
}

// runner has what outlives a case.
type runner struct {
	cfg      Config
	began    time.Time
	own      *station
	others   []*station // neighbour, stranger
	sequence uint64
	silent   map[wire.ID]int // messages that must never be answered, by case
}

func newRunner(ctx context.Context, cfg Config) (*runner, error) {
	r := &runner{cfg: cfg, began: time.Now(), silent: map[wire.ID]int{}}
	// Above whatever an earlier run has used, and far below 2^53.
	r.sequence = uint64(r.began.UnixMilli()) * 1000
	var err error
	if r.own, err = newStation(&r.cfg, cfg.Kit.own); err != nil {
		return nil, err
	}
	for _, id := range []identity{cfg.Kit.neighbour, cfg.Kit.stranger} {
		s, err := newStation(&r.cfg, id)
		if err != nil {
			return nil, err
		}
		r.others = append(r.others, s)
	}
	for _, s := range r.stations() {
		if err := s.connect(); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// probe tells a backend that answers from none at all, whose cases would each
// wait for the whole patience. What it answers is for the cases to judge.
func (r *runner) probe(ctx context.Context) error {
	const tries = 3
	for range tries {
		h := wire.Header{ID: newID(time.Now()), Time: time.Now()}
		raw, err := r.own.wire.Seal(h, wire.Echo{})
		if err != nil {
			return err
		}
		if err := r.own.publish(r.own.address.UpTopic(wire.KindEcho), raw, false, h.ID); err != nil {
			return err
		}
		if _, ok := r.own.await(ctx, h.ID, 0, r.cfg.Patience/tries); ok || len(r.own.takeStrays()) > 0 {
			return nil
		}
	}
	return fmt.Errorf("%w within %v", ErrSilent, r.cfg.Patience)
}

func (r *runner) stations() []*station { return append([]*station{r.own}, r.others...) }

func (r *runner) close() {
	for _, s := range r.stations() {
		s.disconnect()
	}
}

// stopped is how a scene leaves its case: as testing's FailNow does, but by a
// value, since there is no goroutine of its own to end.
type stopped struct {
	outcome Outcome
	why     string
}

// play runs a case and catches its end.
func (r *runner) play(ctx context.Context, c testCase) (result Result) {
	result = Result{Number: c.number, Name: c.name, Rule: c.rule, Outcome: Passed}
	began := time.Now()
	defer func() {
		result.Took = time.Since(began)
		if end := recover(); end != nil {
			s, ok := end.(stopped)
			if !ok {
				panic(end)
			}
			result.Outcome, result.Why = s.outcome, s.why
		}
	}()
	for _, s := range r.stations() {
		s.takeStrays()
	}
	s := &scene{runner: r, ctx: ctx, number: c.number}
	c.play(s)
	for _, st := range r.stations() {
		if strays := st.takeStrays(); len(strays) > 0 {
			s.fail("a terminal would have to drop %d of the wallet's messages: %s", len(strays), strays[0])
		}
	}
	return result
}

// afterAll finds answers that came after their case had ended in silence.
func (r *runner) afterAll() map[int]string {
	late := map[int]string{}
	for id, number := range r.silent {
		for _, s := range r.stations() {
			if s.count(id) > 0 {
				late[number] = fmt.Sprintf("message %s was answered after all", id)
			}
		}
	}
	return late
}

// newID is a UUID of version 7, as terminals make them.
func newID(now time.Time) (id wire.ID) {
	rand.Read(id[:]) // never fails (Go 1.24)
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// oneLine keeps a reason readable in a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
