package serialport

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// settings are what the line had before it was opened.
type settings = unix.Termios

func readSettings(f *os.File) (*settings, error) {
	var found *settings
	err := control(f, func(fd int) (err error) {
		found, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return found, err
}

// Restore gives the line the settings that it had before Open. It is for a port that turned out to be somebody else's.
func (p *Port) Restore() error {
	return control(p.file, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, p.before) })
}

// Discard drops what has come and was not read.
func (p *Port) Discard() error {
	return control(p.file, func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) })
}

// discard drops both directions, so that closing does not wait for a device that takes nothing.
func (p *Port) discard() {
	_ = control(p.file, func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH) })
}

// claim takes the port among all programs that lock it. TIOCEXCL, which the library sets, does not stop root; and a
// program that locks nothing is found by its open file.
func (p *Port) claim() error {
	err := control(p.file, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	by := holders(p.path)
	if errors.Is(err, syscall.EWOULDBLOCK) || err == nil && len(by) > 0 {
		return &HeldError{Path: p.path, By: by}
	}
	return err
}

func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}
