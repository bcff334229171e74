package pcsc

import (
	"context"
	"errors"
	"fmt"
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
	case h.calls <- func(g *grip) { done <- guarded(g, call) }:
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

// errPanic: scard panics at answers that it does not expect. A payment must not end with the process.
var errPanic = errors.New("the PC/SC library has panicked")

func guarded(g *grip, call func(*grip) reply) (r reply) {
	defer func() {
		if p := recover(); p != nil {
			r = reply{err: fmt.Errorf("%w: %v", errPanic, p)}
		}
	}()
	return call(g)
}

func (g *grip) establish() error {
	if g.link != nil {
		return nil
	}
	l, err := g.system.establish()
	if err != nil {
		return err
	}
	g.link = l
	return nil
}

// connect powers the card in a reader and takes it for this process alone. With ask the card is asked whether it is a
// contactless one.
func (g *grip) connect(name string, force, ask bool) reply {
	if err := g.establish(); err != nil {
		return reply{err: err}
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
	if !ask {
		return reply{}
	}
	if err := refuseContact(card); err != nil {
		g.disconnect()
		g.check(err)
		return reply{err: err}
	}
	return reply{}
}

// getUID is answered by the reader itself, with 6A81 when the card has contacts (PC/SC part 3, 3.2.2.1.3).
var getUID = []byte{0xFF, 0xCA, 0x00, 0x00, 0x00}

// refuseContact throws the UID away unseen: a phone makes a new one for each tap, so it tells nobody apart.
func refuseContact(card handle) error {
	answer, err := card.transmit(getUID)
	if err != nil {
		return err
	}
	defer clear(answer)
	if n := len(answer); n == reader.MinAnswer && answer[0] == 0x6A && answer[1] == 0x81 {
		return codeUnsupported
	}
	return nil
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
	if w := why(err); w == serviceLost || w == denied {
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
