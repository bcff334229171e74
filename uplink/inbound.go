package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/wire"
)

// take is called by the library and must not block: blocked, its pings stop.
func (s *session) take(m mqtt.Message) {
	select {
	case s.inbound <- m:
	default:
		s.link.countUnhandled()
	}
}

// work hands messages to the handler, as many at a time as it may take.
func (s *session) work(ctx context.Context) {
	for {
		select {
		case m := <-s.inbound:
			if s.link.receive(ctx, m.Topic(), m.Payload()) {
				m.Ack() // after the handler: what is acknowledged is kept
			} else if s.unhandled.Add(1) == maxUnhandled {
				s.end(&Trouble{Problem: Lost, Text: "answers cannot be kept here; the connection is replaced"})
			}
		case <-s.lost:
			return
		case <-ctx.Done():
			return
		}
	}
}

// receive verifies a publication's messages and passes them on. True means that
// the broker needs not keep it: all were taken, or are none of ours.
func (l *Link) receive(ctx context.Context, topic string, payload []byte) bool {
	messages, err := wire.Split(topic, payload)
	if err != nil {
		l.drop(err)
		return true
	}
	if len(messages) == 1 || l.cfg.Handlers == 1 {
		taken := true
		for _, m := range messages {
			taken = l.receiveOne(ctx, topic, m) && taken
		}
		return taken
	}
	var all sync.WaitGroup
	var left atomic.Int32
	for _, m := range messages {
		l.handlers <- struct{}{}
		all.Go(func() {
			defer func() { <-l.handlers }()
			if !l.receiveOne(ctx, topic, m) {
				left.Add(1)
			}
		})
	}
	all.Wait()
	return left.Load() == 0
}

// errWrongAnswer: the wallet's, to us, and not to what was asked here.
var errWrongAnswer = errors.New("a wrong answer")

func (l *Link) drop(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Dropped++
	l.status.LastDropped = why.Error()
	fault := wire.Fault(why)
	if errors.Is(why, errWrongAnswer) {
		fault = "wrong_answer"
	}
	l.faults[fault]++
}

func (l *Link) receiveOne(ctx context.Context, topic string, payload []byte) bool {
	m, err := l.cfg.Terminal.Open(topic, payload)
	if err == nil {
		err = l.match(m)
	}
	if err != nil {
		l.drop(err)
		return true
	}
	if err := l.cfg.Handle(ctx, m); err != nil {
		l.countUnhandled()
		return false
	}
	return true
}

// match compares an answer with its question and gives it to who waits for it.
// An answer to nothing open is for the handler alone: after a restart, the
// outbox knows more than we do.
func (l *Link) match(m *wire.Message) error {
	a, ok := wire.Answers(m.Data)
	if !ok {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.open[a.Answers]
	if q == nil && m.Kind == wire.KindEchoAnswer {
		// An echo is not in the outbox: this answers one of another life, or was sent
		// again by somebody. Its time is not the wallet's now.
		return fmt.Errorf("%w: to no echo that is open", errWrongAnswer)
	}
	if q == nil {
		return nil
	}
	if q.digest != a.AnswersSHA256 {
		return fmt.Errorf("%w: to other bytes than were sent under this id", errWrongAnswer)
	}
	l.presence.heard(time.Now())
	if q.answer != nil {
		select {
		case q.answer <- m:
		default: // a repetition
		}
	}
	return nil
}

func (l *Link) countUnhandled() {
	l.mu.Lock()
	l.status.Unhandled++
	l.mu.Unlock()
}
