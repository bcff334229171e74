package pn532

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/serialport"
)

// Line is the serial line to a chip: a *serialport.Port, or a net.Conn to one that is elsewhere. Its Read never
// returns (0, nil), and ends when SetReadDeadline is called with a time that has passed.
type Line interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// Commands of the chip (user manual 7.2, 7.3).
const (
	getFirmwareVersion  = 0x02
	setSerialBaudRate   = 0x10
	setParameters       = 0x12
	samConfiguration    = 0x14
	rfConfiguration     = 0x32
	inDataExchange      = 0x40
	inCommunicateThru   = 0x42
	inListPassiveTarget = 0x4A
	inRelease           = 0x52
)

var commandNames = map[byte]string{
	getFirmwareVersion: "GetFirmwareVersion", setSerialBaudRate: "SetSerialBaudRate", setParameters: "SetParameters",
	samConfiguration: "SAMConfiguration", rfConfiguration: "RFConfiguration", inDataExchange: "InDataExchange",
	inCommunicateThru: "InCommunicateThru", inListPassiveTarget: "InListPassiveTarget", inRelease: "InRelease",
}

const (
	// ackWait is for the chip's acknowledgement. A chip takes 15 ms; a busy USB hub of a small computer takes a second.
	ackWait = 1500 * time.Millisecond
	// wakeWait is ackWait while it is not known whether there is a chip at all.
	wakeWait = 250 * time.Millisecond
	// answerWait is for commands that do not wait for a phone.
	answerWait = time.Second
	// maxRepeats is how often a spoilt answer is asked for again.
	maxRepeats = 3
)

// chip speaks with one PN532. One goroutine uses it; interrupt may come from any.
type chip struct {
	line   Line
	parser parser
	out    []byte

	mu          sync.Mutex
	interrupted bool
	armed       time.Time // when a read ends by itself

	owing    bool // a command was given up: its answer may still come
	repeated bool // an answer was asked for again: it may come twice
	spoken   []byte
}

func newChip(line Line) *chip { return &chip{line: line, out: make([]byte, 0, maxFrame+len(wakeUp))} }

// interrupt ends a wait for the chip, now and until resume.
func (c *chip) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted, c.armed = true, time.Time{}
	_ = c.line.SetReadDeadline(time.Unix(1, 0))
}

func (c *chip) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = false
}

// within lets the next reads wait for d, or a little less: a deadline that is near enough is left, because to move it
// costs as much as a frame. It is false when the reads were interrupted.
func (c *chip) within(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted {
		return false
	}
	now := time.Now()
	if left := c.armed.Sub(now); left < d*3/4 || left > d {
		c.armed = now.Add(d)
		_ = c.line.SetReadDeadline(c.armed)
	}
	return true
}

// waits says how long a command may take.
type waits struct{ ack, answer time.Duration }

var usual = waits{ackWait, answerWait}

// ask sends a command and waits for its answer, which is valid until the next call. A command is never sent twice.
func (c *chip) ask(w waits, code byte, parts ...[]byte) ([]byte, error) {
	answer, err := c.exchange(w, nil, code, parts...)
	if err != nil {
		c.owing = true
		return nil, fmt.Errorf("%s: %w", commandNames[code], err)
	}
	return answer, nil
}

func (c *chip) exchange(w waits, before []byte, code byte, parts ...[]byte) ([]byte, error) {
	c.out = appendFrame(append(c.out[:0], before...), code, parts...)
	if err := c.write(c.out); err != nil {
		return nil, err
	}
	start := time.Now()
	if !c.within(w.ack) {
		return nil, os.ErrDeadlineExceeded
	}
	acked, repeats := false, 0
	doubtful := c.repeated
	c.repeated = false
	for {
		k, body := c.parser.next()
		switch k {
		case noFrame:
			if err := c.read(); errors.Is(err, os.ErrDeadlineExceeded) {
				if err = c.overdue(w, start, acked); err != nil {
					return nil, err
				}
			} else if err != nil {
				return nil, err
			}
		case ackFrame:
			acked = true
		case errorFrame:
			return nil, errSyntax
		case badFrame:
			// What is asked for again must be the answer to this command: the chip would repeat the one before.
			switch repeats++; {
			case !acked:
			case repeats > maxRepeats || !answers(body, code):
				return nil, errBroken
			default:
				c.repeated = true
				if err := c.write(nack); err != nil {
					return nil, err
				}
			}
		case infoFrame:
			// An answer is proof that the command has arrived, also when its acknowledgement was lost; but not one that
			// may be a repetition. Answers to commands that were given up are none.
			if answers(body, code) && (acked || !doubtful) {
				return body[2:], nil
			}
		}
	}
}

// answers says whether a frame is an answer to a command with this code.
func answers(body []byte, code byte) bool {
	return len(body) >= 2 && body[0] == fromChip && body[1] == code+1
}

// overdue says what it means that nothing came in time: the acknowledgement must be there by then, the answer need not.
func (c *chip) overdue(w waits, start time.Time, acked bool) error {
	left := time.Until(start.Add(w.answer))
	switch {
	case c.isInterrupted():
		return os.ErrDeadlineExceeded
	case !acked:
		return errSilent
	case left <= 0 || !c.within(min(left, w.ack)):
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *chip) isInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.interrupted
}

func (c *chip) read() error {
	space := c.parser.space()
	n, err := c.line.Read(space)
	c.parser.added(n)
	if room := maxShown - len(c.spoken); room > 0 && c.spoken != nil {
		c.spoken = append(c.spoken, space[:min(n, room)]...)
	}
	return lost(err)
}

func (c *chip) write(b []byte) error {
	_, err := c.line.Write(b)
	return lost(err)
}

// lost tells an end of the line from an end of patience.
func lost(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", reader.ErrReaderGone, err)
}

// settle brings the chip back into step after a command was given up: an acknowledgement by the host ends it, and what
// comes before the answer to a question of our own belongs to the past.
func (c *chip) settle() error {
	if !c.owing {
		return nil
	}
	if err := c.write(ack); err != nil {
		return err
	}
	c.parser.reset()
	if _, err := c.ask(usual, getFirmwareVersion); err != nil {
		return fmt.Errorf("bring the chip back into step: %w", err)
	}
	c.owing = false
	return nil
}

// wakeUp is what the chip needs after power up (user manual 6.3.2.3): rising edges, then time. Zeros have edges too,
// and are nothing to whatever else may sit on the line; the two 55 are for clones that count only them.
var wakeUp = append([]byte{0x55, 0x55}, make([]byte, 14)...)

// fast is the chip's highest speed that all adapters have, with its number for SetSerialBaudRate.
const (
	slow, slowCode = 115200, 0x04
	fast, fastCode = 921600, 0x07
)

// hello wakes the chip and finds out whether it is one.
func (c *chip) hello() error {
	const tries = 3 // the first frame after a power up may be lost
	for range tries {
		c.parser.reset()
		c.spoken = make([]byte, 0, maxShown)
		_, err := c.exchange(waits{wakeWait, wakeWait}, wakeUp, samConfiguration, []byte{0x01, 0x00, 0x00})
		if err == nil {
			break
		}
		if errors.Is(err, reader.ErrReaderGone) || c.isInterrupted() {
			return err
		}
	}
	heard := c.spoken
	c.spoken = nil
	version, err := c.exchange(waits{wakeWait, wakeWait}, nil, getFirmwareVersion)
	switch {
	case err == nil && len(version) >= 2 && version[0] == 0x32:
		c.owing = false
		return nil
	case err == nil && len(version) >= 2:
		return &ForeignError{append([]byte{fromChip, getFirmwareVersion + 1}, version...)}
	case errors.Is(err, reader.ErrReaderGone), c.isInterrupted():
		return err
	case len(heard) > 0:
		return &ForeignError{bytes.Clone(heard)}
	}
	return errSilent
}

// Probe asks once whether a PN532 is on a line, and returns what it says of its version. It sends zeros, which wake a
// chip and mean nothing to other devices, and one question that changes nothing. The line stays open.
func Probe(line Line) (version string, err error) {
	c := newChip(line)
	c.spoken = make([]byte, 0, maxShown)
	answer, err := c.exchange(waits{wakeWait, wakeWait}, make([]byte, len(wakeUp)), getFirmwareVersion)
	switch {
	case err == nil && len(answer) >= 3:
		return fmt.Sprintf("PN5%02X, firmware %d.%d", answer[0], answer[1], answer[2]), nil
	case errors.Is(err, reader.ErrReaderGone):
		return "", err
	case len(c.spoken) > 0:
		return "", &ForeignError{c.spoken}
	}
	return "", errSilent
}

// setUp configures a chip that is awake: all patience finite, automatic ISO 14443-4 activation, field off.
func (c *chip) setUp() error {
	for _, step := range []struct {
		code byte
		data []byte
	}{
		{setParameters, []byte{0x14}},                     // automatic ATR_RES and RATS
		{rfConfiguration, []byte{0x05, 0x00, 0x01, 0x00}}, // ATR and PSL at most twice, one try to find a phone
		{rfConfiguration, []byte{0x02, 0x00, 0x0B, 0x0A}}, // time-outs of ATR and of raw frames
		{rfConfiguration, []byte{0x04, 0x00}},             // a frame is not repeated behind our back
		{inRelease, []byte{0x00}},                         // whatever was selected before we came
		{rfConfiguration, fieldOff},
	} {
		if _, err := c.ask(usual, step.code, step.data); err != nil {
			return err
		}
	}
	return nil
}

var fieldOff = []byte{0x01, 0x00}

// dark switches the field off, which ends every activation.
func (c *chip) dark() error {
	_, err := c.ask(usual, rfConfiguration, fieldOff)
	return err
}

// setSpeed changes the speed of both ends. The chip answers at the old speed, and changes when it is acknowledged.
func (c *chip) setSpeed(baud int) error {
	port, ok := c.line.(*serialport.Port)
	if !ok || port.Mode().Baud == baud {
		return nil
	}
	code := byte(slowCode)
	if baud == fast {
		code = fastCode
	}
	if _, err := c.ask(usual, setSerialBaudRate, []byte{code}); err != nil {
		return err
	}
	if err := c.write(ack); err != nil {
		return err
	}
	time.Sleep(port.Mode().OnWire(len(ack)) + speedPause)
	return port.SetMode(serialport.Mode{Baud: baud})
}

// speedPause is what an adapter may keep back of the last bytes, and the chip needs for its change.
const speedPause = 5 * time.Millisecond
