package lane_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"tapkeeper/lane"
	"tapkeeper/terminal"
	"tapkeeper/uplink/wire"
)

// points counts the steps of a payment and kills the process at one of them.
//
// Fault model: SIGKILL, the process alone. What it wrote stays in the page cache
// and is read by the next; what was in its memory and in its sockets' send
// queues may be lost. (A loss of power is the test of package queue.)
type points struct {
	dying func(name string) // tells the parent, before the kill

	mu sync.Mutex
	n  int
	at string // number or name; empty: never
}

// arm starts to count for a kill at a point.
func (p *points) arm(at string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.at = 0, at
}

func (p *points) passed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// pass is one point. Who comes later waits while the process dies.
func (p *points) pass(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	name := fmt.Sprintf(format, args...)
	if p.at != name && p.at != strconv.Itoa(p.n) {
		return
	}
	p.dying(fmt.Sprintf("point %d, %s", p.n, name))
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// parts puts points around what a terminal does.
func (p *points) parts(parts terminal.Parts) terminal.Parts {
	parts.Journal = countedJournal{parts.Journal, p}
	parts.Field = countedField{parts.Field, p}
	parts.Wallet = countedWallet{parts.Wallet, p}
	return parts
}

// receive puts points around what a terminal hears. Echoes come when they
// like, and are no step of a payment.
func (p *points) receive(next lane.Receiver) lane.Receiver {
	return func(ctx context.Context, m *wire.Message) error {
		if m.Kind == wire.KindReceipt || m.Kind == wire.KindStatus || m.Kind == wire.KindHotlist {
			p.pass("before the wallet's %s", m.Kind)
			defer p.pass("after the wallet's %s", m.Kind)
		}
		return next(ctx, m)
	}
}

type countedJournal struct {
	terminal.Journal
	points *points
}

func (j countedJournal) Commit(ctx context.Context, c terminal.Commit) (uint64, error) {
	j.points.pass("before a commit")
	defer j.points.pass("after a commit")
	return j.Journal.Commit(ctx, c)
}

type countedField struct {
	terminal.Field
	points *points
}

func (f countedField) Await(ctx context.Context) (terminal.Phone, error) {
	phone, err := f.Field.Await(ctx)
	if err != nil {
		return nil, err
	}
	f.points.pass("a phone in the field")
	return countedPhone{phone, f.points}, nil
}

type countedPhone struct {
	terminal.Phone
	points *points
}

func (c countedPhone) Transmit(ctx context.Context, command []byte) ([]byte, time.Duration, error) {
	name := fmt.Sprintf("command %02X", command[1])
	if command[1] == 0xAE {
		name = generateAC
	}
	c.points.pass("before %s", name)
	defer c.points.pass("after %s", name)
	return c.Phone.Transmit(ctx, command)
}

const generateAC = "GENERATE AC"

func (c countedPhone) Release(off time.Duration) error {
	c.points.pass("before the phone is released")
	return c.Phone.Release(off)
}

type countedWallet struct {
	terminal.Wallet
	points *points
}

func (w countedWallet) Ask(ctx context.Context, kind wire.Kind, id terminal.ID, message []byte) (*wire.Message, error) {
	if kind == wire.KindReconciliation {
		return w.Wallet.Ask(ctx, kind, id, message)
	}
	w.points.pass("before the wallet is asked")
	defer w.points.pass("after the wallet was asked")
	return w.Wallet.Ask(ctx, kind, id, message)
}

func (w countedWallet) MissedDeadline() {
	w.points.pass("before a missed deadline")
	w.Wallet.MissedDeadline()
}
