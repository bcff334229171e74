// Package line is the device's end of a serial line, for simulators: a pty, which a driver opens as it opens a real
// port, or TCP, as a serial server in a cabinet has it. A pty can be unplugged and plugged in again under one path.
package line

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnplugged is what the device reads while its cable is out.
var ErrUnplugged = errors.New("the cable is out")

// hostPause is how often a line without a host is looked at: the kernel says EIO there, and does not wait.
const hostPause = 2 * time.Millisecond

// PTY is a serial line with a path. The device reads and writes it; a host that opens the path is at the other end.
type PTY struct {
	link string

	mu     sync.Mutex
	master *os.File // nil while unplugged
	path   string
	closed bool
}

// OpenPTY makes a line. With a link, the path to open is that symbolic link, over all plugging; a link that is there
// already is replaced, and any other file is left alone.
func OpenPTY(link string) (*PTY, error) {
	p := &PTY{link: link}
	if err := p.Plug(); err != nil {
		return nil, fmt.Errorf("make a serial line: %w", err)
	}
	return p, nil
}

// Path is what a host opens.
func (p *PTY) Path() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != "" {
		return p.link
	}
	return p.path
}

// Plug ends Unplug.
func (p *PTY) Plug() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.master != nil || p.closed {
		return nil
	}
	master, path, err := openPair()
	if err != nil {
		return err
	}
	if p.link != "" {
		if err := relink(path, p.link); err != nil {
			_ = master.Close()
			return err
		}
	}
	p.master, p.path = master, path
	return nil
}

func relink(path, link string) error {
	if found, err := os.Lstat(link); err == nil {
		if found.Mode()&os.ModeSymlink == 0 {
			return fmt.Errorf("%s is there and is no symbolic link", link)
		}
		if err := os.Remove(link); err != nil {
			return err
		}
	}
	return os.Symlink(path, link)
}

// openPair opens a pty whose line is raw from the start, as a UART is. The master is polled by the runtime, so that
// Close ends a Read.
func openPair() (*os.File, string, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = makeRaw(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), "ptmx"), fmt.Sprintf("/dev/pts/%d", n), nil
}

func makeRaw(fd int) error {
	s, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	s.Iflag, s.Oflag, s.Lflag = 0, 0, 0
	s.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B9600
	return unix.IoctlSetTermios(fd, unix.TCSETS, s)
}

// Unplug pulls the cable: the host sees a hang-up, and the path is gone.
func (p *PTY) Unplug() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unplug()
}

func (p *PTY) unplug() {
	if p.master == nil {
		return
	}
	_ = p.master.Close()
	p.master = nil
	if p.link != "" {
		_ = os.Remove(p.link)
	}
}

// Cut pulls the cable and puts it in again.
func (p *PTY) Cut() {
	p.Unplug()
	_ = p.Plug() // without it the line stays cut, as the host then sees
}

// Close ends the line for good, and a Read with io.EOF.
func (p *PTY) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.unplug()
	return nil
}

func (p *PTY) now() (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, io.EOF
	case p.master == nil:
		return nil, ErrUnplugged
	}
	return p.master, nil
}

// Read waits for bytes of the host, also while there is none.
func (p *PTY) Read(b []byte) (int, error) {
	for {
		master, err := p.now()
		if err != nil {
			return 0, err
		}
		n, err := master.Read(b)
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, syscall.EIO):
			time.Sleep(hostPause)
		case errors.Is(err, os.ErrClosed), err == nil:
		default:
			return 0, err
		}
	}
}

// Write sends to the host. What nobody takes is lost, as on a real line.
func (p *PTY) Write(b []byte) (int, error) {
	master, err := p.now()
	if err != nil {
		return 0, err
	}
	_ = master.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := master.Write(b); err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err
	}
	return len(b), nil
}

// speeds are those that the simulated devices have.
var speeds = map[uint32]int{
	unix.B9600: 9600, unix.B19200: 19200, unix.B38400: 38400, unix.B57600: 57600, unix.B115200: 115200,
	unix.B230400: 230400, unix.B460800: 460800, unix.B921600: 921600,
}

// Baud is the speed that the host has set, 0 when it is none that the devices have.
func (p *PTY) Baud() int {
	master, err := p.now()
	if err != nil {
		return 0
	}
	raw, err := master.SyscallConn()
	if err != nil {
		return 0
	}
	baud := 0
	_ = raw.Control(func(fd uintptr) {
		if s, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			baud = speeds[s.Cflag&unix.CBAUD]
		}
	})
	return baud
}
