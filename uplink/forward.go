package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/wire"
)

// Entry is a sealed message that waits for the wallet's receipt.
type Entry struct {
	ID    wire.ID // of the message in Body
	Group string  // entries of a group leave one after the other
	Kind  wire.Kind
	Body  []byte // sent byte for byte, as often as needed
}

// Outbox is what Forward empties. An entry leaves it when its receipt was
// handled, never because it was sent.
type Outbox interface {
	// Waiting gives up to limit entries, the most urgent first, then the oldest.
	// Those that known names may come without Kind and Body.
	Waiting(limit int, known func(wire.ID) bool) ([]Entry, error)
	// Sent is told which entries were handed to the broker, each time.
	Sent(ids []wire.ID)
	// Changed gives a channel that is closed, or receives, at the next change
	// after the call.
	Changed() <-chan struct{}
}

// Forward sends the waiting entries until ctx is done, and then returns nil. It
// keeps a window of 64 in flight and repeats each, with a growing delay and at
// once on a new connection, until it has left the outbox. It fails only if the
// outbox cannot be read.
func (l *Link) Forward(ctx context.Context, box Outbox) error {
	p := newPlanner(l.cfg.Timing, l.jitter)
	sight := sight{}
	var expected map[wire.ID]*question
	defer func() { l.expect(expected, nil) }()
	for {
		changed := box.Changed()
		view := l.view()
		entries, err := box.Waiting(p.reach, sight.has)
		if err != nil {
			return fmt.Errorf("forward: read the outbox: %w", err)
		}
		sight = sight.next(entries)
		expected = l.expect(expected, entries)
		p.keep(entries)
		p.hurry(view.hurries)
		wake := time.Hour
		if view.session != nil {
			var due []Entry
			due, wake = p.plan(time.Now(), entries, view.session.number, view.heard)
			if len(due) > 0 {
				l.sendAll(ctx, view.session, due)
				box.Sent(idsOf(due))
				wake = 0
			}
		}
		timer := time.NewTimer(wake)
		select {
		case <-changed:
		case <-view.changed:
		case <-view.hurry:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// maxSight bounds the bytes of bodies that are kept for a next time; those of the
// entries beyond are read again.
const maxSight = 4 << 20

// sight has the entries read last, so that each is read from the disk once.
type sight map[wire.ID]Entry

func (s sight) has(id wire.ID) bool {
	_, ok := s[id]
	return ok
}

// next completes the entries just read and keeps them in place of the last.
func (s sight) next(entries []Entry) sight {
	now := make(sight, len(entries))
	size := 0
	for i := range entries {
		if e := &entries[i]; e.Body == nil {
			if old, ok := s[e.ID]; ok {
				*e = old
			}
		}
		if size += len(entries[i].Body); size <= maxSight {
			now[entries[i].ID] = entries[i]
		}
	}
	return now
}

func idsOf(entries []Entry) []wire.ID {
	ids := make([]wire.ID, len(entries))
	for i := range entries {
		ids[i] = entries[i].ID
	}
	return ids
}

type view struct {
	session *session
	heard   time.Time
	changed <-chan struct{}
	hurries uint64
	hurry   <-chan struct{}
}

func (l *Link) view() view {
	l.mu.Lock()
	defer l.mu.Unlock()
	return view{l.session, l.presence.heardAt, l.changed, l.hurries, l.hurry}
}

// sendAll publishes in order, then waits for the PUBACKs. What fails is sent
// again by the planner; nothing is concluded from what does not.
func (l *Link) sendAll(ctx context.Context, s *session, due []Entry) {
	tokens := make([]mqtt.Token, 0, len(due))
	for len(due) > 0 {
		if s.over() {
			return
		}
		n, kind, body := joined(due)
		tokens = append(tokens, s.client.Publish(l.cfg.Terminal.Address().UpTopic(kind), qos, false, body))
		due = due[n:]
	}
	for _, t := range tokens {
		err := s.wait(ctx, t, l.cfg.Timing.Ack)
		if errors.Is(err, errNoAck) {
			s.end(err)
		}
		if err != nil {
			return
		}
	}
}

// joined makes one publication of as many of the first entries as may share one.
func joined(due []Entry) (n int, kind wire.Kind, body []byte) {
	var bodies [][]byte
	size := 0
	for _, e := range due {
		size += len(e.Body) + 1
		if !e.Kind.Batched() || size > wire.MaxMessage || len(bodies) == wire.MaxBatch {
			break
		}
		bodies = append(bodies, e.Body)
	}
	if len(bodies) > 1 {
		if body, err := wire.Join(bodies); err == nil {
			return len(bodies), wire.KindBatch, body
		}
	}
	return 1, due[0].Kind, due[0].Body
}

// expect notes which bytes an answer to a waiting entry must name, sent or not:
// after a restart a receipt may come before its entry is sent again. It forgets
// the entries that wait no more.
func (l *Link) expect(before map[wire.ID]*question, entries []Entry) map[wire.ID]*question {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := make(map[wire.ID]*question, len(entries))
	for _, e := range entries {
		q := before[e.ID]
		if q == nil {
			q = &question{digest: wire.DigestOf(e.Body)}
		}
		now[e.ID] = q
		if l.open[e.ID] == nil {
			l.open[e.ID] = q
		}
	}
	for id, q := range before {
		if now[id] == nil && l.open[id] == q {
			delete(l.open, id)
		}
	}
	return now
}
