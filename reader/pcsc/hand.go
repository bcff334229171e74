package pcsc

import (
	"context"
	"errors"
	"sync"
	"time"

	"tapkeeper/reader"
)

// hand is the goroutine that alone touches one context and the card connected in it. A call into PC/SC cannot be
// cancelled; a hand whose call is overdue is let go, ends when the call does, and leaves nothing behind then.
type hand struct {
	calls chan func(*grip)
	quit  chan struct{} // closed by letGo
	once  sync.Once
	ended chan struct{}
}

// grip belongs to the hand's goroutine.
type grip struct {
	system system
	link   link
	card   handle
}

func newHand(sys system) *hand {
	h := &hand{calls: make(chan func(*grip)), quit: make(chan struct{}), ended: make(chan struct{})}
	go h.run(&grip{system: sys})
	return h
}

func (h *hand) run(g *grip) {
	defer close(h.ended)
	defer g.drop()
	for {
		select {
		case call := <-h.calls:
			call(g)
		case <-h.quit:
			return
		}
	}
}

func (h *hand) letGo() { h.once.Do(func() { close(h.quit) }) }

func (h *hand) hasEnded() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// errLetGo: Close was quicker than the call.
var errLetGo = errors.New("reader was let go")

type reply struct {
	answer []byte
	took   time.Duration
	err    error
}

// ask has the hand carry out a call. When ctx ends or stop is closed first, the hand is let go and the call's result is
// thrown away.
func (h *hand) ask(ctx context.Context, stop <-chan struct{}, call func(*grip) reply) reply {
	start := time.Now()
	done := make(chan reply, 1)
	select {
	case h.calls <- func(g *grip) { done <- call(g) }:
	case <-h.quit:
		return reply{err: errLetGo}
	}
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
		h.letGo()
		return reply{took: time.Since(start), err: ctx.Err()}
	case <-stop:
		h.letGo()
		return reply{took: time.Since(start), err: reader.ErrClosed}
	}
}

// connect powers the card in a reader and takes it for this process alone.
func (g *grip) connect(name string, force bool) reply {
	if g.link == nil {
		l, err := g.system.establish()
		if err != nil {
			return reply{err: err}
		}
		g.link = l
	}
	connect := g.link.connect
	if force {
		connect = g.link.force
	}
	card, err := connect(name)
	if err != nil {
		g.check(err)
		return reply{err: err}
	}
	g.card = card
	return reply{}
}

func (g *grip) transmit(command []byte) reply {
	if g.card == nil {
		return reply{err: reader.ErrCardGone}
	}
	start := time.Now()
	answer, err := g.card.transmit(command)
	r := reply{answer: answer, took: time.Since(start), err: err}
	g.check(err)
	return r
}

func (g *grip) disconnect() reply {
	if g.card != nil {
		err := g.card.disconnect()
		g.card = nil
		g.check(err)
	}
	return reply{}
}

// check drops a context that will never answer again.
func (g *grip) check(err error) {
	if why(err) == serviceLost {
		g.card = nil // its handle has died with the context
		g.drop()
	}
}

func (g *grip) drop() {
	g.disconnect()
	if g.link != nil {
		_ = g.link.release()
		g.link = nil
	}
}
