package pcsc

import "time"

// system is PC/SC as far as this package needs it: scard.go has the real one, the tests have one with faults. Errors
// that PC/SC itself reports are of type code.
type system interface {
	establish() (link, error) // may block for as long as pcscd is frozen
}

// link is a PC/SC context. Only cancel may be called beside another call.
type link interface {
	listReaders() ([]string, error)
	wait(entries []entry, timeout time.Duration) error // sets event and atr of each entry; entries are never empty
	cancel() error                                     // ends a running wait, and has no effect on a later one
	connect(reader string) (handle, error)             // exclusive
	force(reader string) (handle, error)               // the same for a slot that pcscd wrongly takes for empty
	direct(reader string) (handle, error)              // the reader itself, without a card; for control alone
	release() error
}

// handle is a card that is connected.
type handle interface {
	transmit(command []byte) ([]byte, error)
	control(code uint32, command []byte) ([]byte, error)
	disconnect() error // switches the field off; a direct handle leaves it alone
}

// plugAndPlay is the name of the entry that changes when readers come and go. With it a wait also works, and blocks,
// when there is no reader at all.
const plugAndPlay = `\\?PnP?\Notification`

// entry is what is known about a reader before a wait (state), and after it (event, atr).
type entry struct {
	reader string
	state  flags
	event  flags
	atr    []byte
	last   flags // the event word of the last time that there was a card
	first  bool  // nothing was known before the last wait
}
