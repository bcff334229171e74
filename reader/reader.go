// Package reader says what a card reader is: something that can be waited on until a phone is in its field, and that
// then carries commands to the phone and answers back.
//
// A reader moves bytes and tells the truth about the field. It does not know what a command means, does not repeat a
// command, does not decide anything and does not log. The backends are reader/pcsc and reader/virtual; each of them
// passes the conformance test of reader/readertest.
package reader

import (
	"context"
	"errors"
	"time"
)

// A Reader finds phones in one field.
//
// One goroutine, the owner, calls Await and everything on the Card that it returns. Close and State may be called from
// any goroutine at any time.
type Reader interface {
	// Name is how people and the configuration call this reader. It never changes.
	Name() string

	// Await blocks until a phone is in the field, powered and selected, and returns it. Each return is a new
	// activation, also when the same phone has stayed in the field since the last Release.
	//
	// It returns ctx.Err() when ctx ends, ErrClosed after Close, ErrBusy when the last Card has not been released or
	// another Await is running, and ErrManyCards when the field holds more than one card. A reader that is unplugged,
	// held by another program or without its service is not an error here: Await goes on waiting, and State tells why.
	Await(ctx context.Context) (Card, error)

	// Close gives the reader back and ends a running Await or Transmit with ErrClosed. It is idempotent, returns in
	// bounded time, and leaves no goroutine behind except one that is inside a system call which nothing can end.
	Close() error
}

// A Card is one activation of one phone.
type Card interface {
	// Transmit sends one C-APDU and waits for its R-APDU. The answer has at least two bytes and belongs to the caller;
	// took is the time from the command's last byte to the answer as near as this reader can tell, and is set, to the
	// time until the failure, also with an error.
	//
	// It returns when the answer is there, when the phone is gone (ErrCardGone), the reader is gone (ErrReaderGone) or
	// closed (ErrClosed), or when ctx ends (ctx.Err()), even if the phone never answers: an answer that comes later is
	// thrown away. After any error the activation is over: each later call returns an error, and only Release is left
	// to do. Whether the phone has seen the failed command is not known.
	Transmit(ctx context.Context, command []byte) (answer []byte, took time.Duration, err error)

	// Release ends the activation and switches the field off. It returns at once; the next Await keeps the field off
	// until fieldOff has passed. Release must be called for every Card, is idempotent, and does not fail because the
	// phone or the reader has gone meanwhile.
	Release(fieldOff time.Duration) error
}

// A Stater is a Reader that can say what it is doing; all readers of this module can. State is cheap, never blocks,
// and is a hint for people: it may be out of date when it is read.
type Stater interface {
	State() State
}

// Errors that a caller acts on; test with errors.Is.
var (
	// ErrCardGone: the phone has left the field, or has stopped to answer.
	ErrCardGone = errors.New("phone has left the field")
	// ErrReaderGone: the reader has been unplugged or its service has stopped. Await waits until it is back.
	ErrReaderGone = errors.New("reader is gone")
	// ErrBusy: the reader is in use, by an unreleased Card, by another Await or by another process.
	ErrBusy = errors.New("reader is in use")
	// ErrManyCards: more than one card answers in the field, and none was taken.
	ErrManyCards = errors.New("more than one card in the field")
	// ErrClosed: the reader was closed.
	ErrClosed = errors.New("reader is closed")
)

// Limits of one exchange, the same for each backend.
const (
	// MinCommand is CLA INS P1 P2. Shorter commands are refused: one byte is a control code on the virtual reader's
	// wire, and none at all makes PC/SC panic.
	MinCommand = 4
	// MaxCommand is what the length field of the virtual reader's wire carries, a little less than the longest
	// extended C-APDU (65544 bytes), which no phone takes.
	MaxCommand = 65535
	// MinAnswer is SW1 SW2. A shorter answer is an error of the transmission (scheme section 0, rule 10).
	MinAnswer = 2
	// MaxAnswer is the longest R-APDU: 65536 bytes of data and SW1 SW2.
	MaxAnswer = 65538
)
