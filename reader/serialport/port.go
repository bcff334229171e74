// Package serialport is a serial line that can be trusted with money: reads and writes end in bounded time, Close ends
// both, a line that has been unplugged says so, and a port that another program holds is refused with that program's
// name.
//
// It stands on go.bug.st/serial, which knows how to set a line up on each system, and lets no byte go through it. That
// library's Write has no timeout, is not ended by Close, and after it writes into whatever file has got the recycled
// descriptor; its Read says (0, nil) at a timeout and panics from descriptor 1024 on. So bytes go through a second
// descriptor of our own, which the runtime polls: it has deadlines, and Close waits for nobody.
//
// The package refuses to guess: it opens the path that it is given, and no other.
package serialport

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"go.bug.st/serial"
)

// ErrUnplugged: the device behind the port has gone. The port is of no more use; a new one may be opened when the
// device is back.
var ErrUnplugged = errors.New("the serial device was unplugged")

// writeSlack is what a write may take beyond the time on the wire: a USB adapter that hangs is given up after it.
const writeSlack = 2 * time.Second

// bitsPerByte of the slowest format, 8N2 with its start bit.
const bitsPerByte = 11

// Mode is how a line is set up. No port has a handshake: the devices of this module have none.
type Mode struct {
	Baud        int
	TwoStopBits bool // 8N2 instead of 8N1, as ZVT has it
}

func (m Mode) library() *serial.Mode {
	mode := &serial.Mode{BaudRate: m.Baud, DataBits: 8}
	if m.TwoStopBits {
		mode.StopBits = serial.TwoStopBits
	}
	return mode
}

// OnWire is how long n bytes take at this speed.
func (m Mode) OnWire(n int) time.Duration {
	if m.Baud <= 0 {
		return 0
	}
	return time.Duration(n) * bitsPerByte * time.Second / time.Duration(m.Baud)
}

// Port is one open serial line. One goroutine reads and one writes; Close and the deadlines may come from any.
type Port struct {
	path string
	file *os.File

	mu     sync.Mutex
	line   serial.Port // for settings only; nil once closed
	mode   Mode
	before *settings
}

// Open opens the port at path for this process alone. The error is fs.ErrNotExist or fs.ErrPermission where it is
// that, and *HeldError when another program has the port.
func Open(path string, mode Mode) (_ *Port, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open serial port %s: %w", path, err)
		}
	}()
	if mode.Baud <= 0 {
		return nil, fmt.Errorf("a speed of %d baud", mode.Baud)
	}
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.EBUSY): // TIOCEXCL of somebody else
		return nil, &HeldError{Path: path, By: holders(path)}
	case err != nil:
		return nil, plain(err)
	}
	p := &Port{path: path, file: file, mode: mode}
	if err := p.claim(); err != nil {
		_ = file.Close() // and nothing else: what is on its way there is somebody else's
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.Close()
		}
	}()
	if p.before, err = readSettings(file); err != nil {
		return nil, fmt.Errorf("is no serial port: %w", err)
	}
	if p.line, err = serial.Open(path, mode.library()); err != nil {
		return nil, p.explain(err)
	}
	return p, nil
}

// explain translates the library's errors.
func (p *Port) explain(err error) error {
	var known *serial.PortError
	if !errors.As(err, &known) {
		return plain(err)
	}
	switch known.Code() {
	case serial.PortBusy:
		return &HeldError{Path: p.path, By: holders(p.path)}
	case serial.PermissionDenied:
		return fs.ErrPermission
	case serial.PortNotFound:
		return fs.ErrNotExist
	case serial.PortClosed:
		return ErrUnplugged
	}
	return err
}

// plain drops the path that an os error repeats.
func plain(err error) error {
	if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// Path is what the port was opened by.
func (p *Port) Path() string { return p.path }

// Mode is how the line is set up now.
func (p *Port) Mode() Mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

// SetMode changes speed and format at once: what was written must have left before, as it has when its answer is there.
func (p *Port) SetMode(m Mode) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.line == nil:
		return os.ErrClosed
	case m.Baud <= 0:
		return fmt.Errorf("set %s to %d baud", p.path, m.Baud)
	}
	if err := p.line.SetMode(m.library()); err != nil {
		return fmt.Errorf("set %s to %d baud: %w", p.path, m.Baud, p.explain(err))
	}
	p.mode = m
	return nil
}

// Read waits for at least one byte. It never returns (0, nil): at the deadline it returns os.ErrDeadlineExceeded, and
// ErrUnplugged when the device has gone.
func (p *Port) Read(b []byte) (int, error) {
	n, err := p.file.Read(b)
	if err == nil || n > 0 {
		return n, nil
	}
	return 0, gone(err)
}

// Write sends all of b, or fails. It takes no longer than b takes on the wire and two seconds.
func (p *Port) Write(b []byte) (int, error) {
	_ = p.file.SetWriteDeadline(time.Now().Add(p.Mode().OnWire(len(b)) + writeSlack)) // fails when closed, as Write does
	n, err := p.file.Write(b)
	return n, gone(err)
}

// SetReadDeadline ends a Read at that time, also one that waits already. The zero time is never.
func (p *Port) SetReadDeadline(t time.Time) error { return p.file.SetReadDeadline(t) }

// gone tells an unplugged device from other failures. A hang-up reads as the end of the file.
func gone(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return ErrUnplugged
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	}
	return plain(err)
}

// Close gives the port back and ends a Read or Write that waits. It is idempotent. What was not sent yet is dropped:
// a device that takes nothing any more cannot hold it up.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discard()
	line := p.line
	p.line = nil
	if line != nil {
		_ = line.Close() // it also gives back the exclusive use
	}
	err := p.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
