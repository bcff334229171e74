// Package recognise finds out what sits on a serial port without doing harm to a device that is something else: it
// does not touch a port that a program holds or a device that has a name of its own, it listens before it speaks, it
// asks only questions that change nothing, and it puts the line's settings back.
//
// To open a port raises its control lines, which no program can avoid; some boards start anew by that.
package recognise

import (
	"errors"
	"fmt"
	"os"
	"time"

	"tapkeeper/reader/pn532"
	"tapkeeper/reader/serialport"
	"tapkeeper/reader/zvt"
)

// Kinds, as the configuration has them.
const (
	PN532 = "pn532"
	ZVT   = "zvt"
)

// Verdict is what is on a port.
type Verdict struct {
	Kind   string // PN532, ZVT, or "" when it is neither or was not asked
	Baud   int    // at which it answered
	Detail string // for people
}

const (
	// listenTime is how long a port is listened to: a device that speaks by itself (GPS, scales, scanners) does so
	// several times a second.
	listenTime = 300 * time.Millisecond
	// maxHeard bounds what is shown of it.
	maxHeard = 32
)

// Port asks what is on a port that List has found. Only a bare adapter is asked, for all others say what they are.
func Port(f serialport.Found) Verdict {
	switch {
	case len(f.By) > 0:
		return Verdict{Detail: (&serialport.HeldError{Path: f.Path, By: f.By}).Error()}
	case !f.Bridge && f.USB != "":
		return Verdict{Detail: "not asked: it calls itself " + f.Title + " (" + f.USB + ")"}
	case !f.Bridge:
		return Verdict{Detail: "not asked: a port of the board may be a console; name it to have it asked"}
	}
	return Path(f.Path)
}

// Path asks what is on a port that somebody has named.
func Path(path string) Verdict {
	port, err := serialport.Open(path, serialport.Mode{Baud: 115200})
	if err != nil {
		return Verdict{Detail: err.Error()}
	}
	defer func() {
		_ = port.Restore()
		_ = port.Close()
	}()
	if heard := listen(port); len(heard) > 0 {
		return Verdict{Detail: fmt.Sprintf("not asked: it speaks by itself: %q", heard)}
	}
	version, err := pn532.Probe(port)
	if err == nil {
		return Verdict{PN532, 115200, version}
	}
	if foreign := (*pn532.ForeignError)(nil); errors.As(err, &foreign) && !refusal(foreign.Answer) {
		return Verdict{Detail: err.Error()}
	}
	for _, m := range []serialport.Mode{{Baud: 9600, TwoStopBits: true}, {Baud: 115200, TwoStopBits: true}} {
		if port.SetMode(m) != nil || port.Discard() != nil {
			break
		}
		if version, err := zvt.Probe(port); err == nil {
			return Verdict{ZVT, m.Baud, "ZVT terminal, software " + version}
		}
	}
	return Verdict{Detail: "nothing that is known here answers"}
}

// refusal says that all that came is the byte by which a ZVT terminal refuses what it does not understand.
func refusal(b []byte) bool {
	const nak = 0x15
	for _, c := range b {
		if c != nak {
			return false
		}
	}
	return true
}

// listen waits for a device that speaks by itself.
func listen(port *serialport.Port) []byte {
	_ = port.Discard()
	_ = port.SetReadDeadline(time.Now().Add(listenTime))
	heard := make([]byte, maxHeard)
	n, err := port.Read(heard)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return heard[:n]
}
