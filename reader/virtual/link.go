package virtual

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/internal/vpcd"
)

// writeTimeout bounds a write to a phone that has stopped to read. The socket's buffer holds any command.
const writeTimeout = 2 * time.Second

// maxOwed is how many answers a phone may leave owing before it is thrown out as dead. A live phone owes the answer to
// one command and those to the ATR requests of the few short waits since.
const maxOwed = 8

// link is the connection of one phone. The pump reads it, and finds out that the phone has gone; ask writes to it.
type link struct {
	conn net.Conn
	gone chan struct{} // closed when the phone has gone

	mu     sync.Mutex
	waiter chan []byte // who waits for the next answer, or nil
	owed   int         // answers that will come although nobody waits for them any more
}

// pump reads until the phone is gone. The wire answers in order, so an answer that is owed is known by its place.
func (l *link) pump() {
	defer close(l.gone)
	defer l.conn.Close()
	for {
		frame, err := vpcd.ReadFrame(l.conn)
		if err != nil || !l.deliver(frame) {
			return
		}
	}
}

func (l *link) deliver(frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.owed > 0:
		l.owed--
	case l.waiter != nil:
		l.waiter <- frame // has room for one
		l.waiter = nil
	default:
		return false // it has spoken without being asked
	}
	return true
}

func (l *link) isGone() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// ask sends one frame and waits for the one that answers it.
func (l *link) ask(ctx context.Context, closed <-chan struct{}, frame []byte) ([]byte, error) {
	waiter := make(chan []byte, 1)
	l.mu.Lock()
	l.waiter = waiter
	l.mu.Unlock()
	if err := l.write(frame); err != nil {
		return nil, err
	}
	select {
	case answer := <-waiter:
		return answer, nil
	default:
	}
	select {
	case answer := <-waiter:
		return answer, nil
	case <-closed:
		return nil, reader.ErrClosed
	case <-l.gone:
		select {
		case <-closed: // Close makes the phone go too
			return nil, reader.ErrClosed
		default:
			return nil, reader.ErrCardGone
		}
	case <-ctx.Done():
		l.abandon()
		return nil, ctx.Err()
	}
}

// abandon notes that the answer which was waited for is thrown away when it comes. When it has come meanwhile nobody
// reads it.
func (l *link) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiter != nil {
		l.waiter = nil
		l.owed++
	}
	if l.owed > maxOwed {
		l.conn.Close()
	}
}

// write gives up the phone when the frame does not go out whole: half a frame cannot be taken back.
func (l *link) write(frame []byte) error {
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := vpcd.WriteFrame(l.conn, frame); err != nil {
		l.conn.Close()
		return reader.ErrCardGone
	}
	return nil
}

// powerOff has no answer, and no failure that matters: a phone that has gone has no power either.
func (l *link) powerOff() { _ = l.write([]byte{vpcd.PowerOff}) }

// errATR: what is in the field is no contactless card.
var errATR = errors.New("no ATR")

// selectPhone powers the phone and asks for its ATR, which also proves that it is there and in step.
func (l *link) selectPhone(ctx context.Context, closed <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, selectTimeout)
	defer cancel()
	if err := l.write([]byte{vpcd.PowerOn}); err != nil {
		return err
	}
	atr, err := l.ask(ctx, closed, []byte{vpcd.GetATR})
	if err != nil {
		return fmt.Errorf("select phone: %w", err)
	}
	if len(atr) < 2 || atr[0] != 0x3B {
		return errATR
	}
	return nil
}
