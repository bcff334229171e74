package serialport

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// open gives a port and the master at its other end. The slave is left to the port alone, as on a real line.
func open(t testing.TB, mode Mode) (*Port, *os.File) {
	t.Helper()
	master, path := line(t)
	p, err := Open(path, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, master
}

func line(t testing.TB) (*os.File, string) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	path := slave.Name()
	slave.Close()
	return master, path
}

func TestBothWays(t *testing.T) {
	p, master := open(t, Mode{Baud: 115200})
	all := make([]byte, 256) // no byte may mean anything to the line
	for i := range all {
		all[i] = byte(i)
	}
	if n, err := p.Write(all); n != len(all) || err != nil {
		t.Fatal(n, err)
	}
	got := make([]byte, 256)
	if _, err := io.ReadFull(master, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("the device got %x, %v", got, err)
	}
	master.Write(all)
	for n := 0; n < len(got); {
		k, err := p.Read(got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	if !bytes.Equal(got, all) {
		t.Errorf("we got %x", got)
	}
}

func TestModeReachesTheLine(t *testing.T) {
	p, master := open(t, Mode{Baud: 115200})
	speed := func() (uint32, bool) {
		s, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return s.Cflag & unix.CBAUD, s.Cflag&unix.CSTOPB != 0
	}
	if baud, two := speed(); baud != unix.B115200 || two {
		t.Errorf("speed %o, two stop bits %v", baud, two)
	}
	if err := p.SetMode(Mode{Baud: 921600, TwoStopBits: true}); err != nil {
		t.Fatal(err)
	}
	if baud, two := speed(); baud != unix.B921600 || !two || p.Mode().Baud != 921600 {
		t.Errorf("speed %o, two stop bits %v", baud, two)
	}
}

// within fails the test when f takes longer than d.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("did not end within %v", d)
	}
}

func TestReadEndsAtItsDeadline(t *testing.T) {
	p, _ := open(t, Mode{Baud: 115200})
	p.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	within(t, 3*time.Second, func() {
		if n, err := p.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %v", n, err)
		}
	})
	p.SetReadDeadline(time.Time{})
	time.AfterFunc(30*time.Millisecond, func() { p.SetReadDeadline(time.Unix(1, 0)) })
	within(t, 3*time.Second, func() {
		if _, err := p.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestCloseEndsRead(t *testing.T) {
	p, _ := open(t, Mode{Baud: 115200})
	time.AfterFunc(30*time.Millisecond, func() { p.Close() })
	within(t, 3*time.Second, func() {
		if _, err := p.Read(make([]byte, 8)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%v, want that it was closed", err)
		}
	})
}

// A device that takes nothing: the library's Write hangs here until the device is unplugged.
func TestWriteEndsWithoutTheDevice(t *testing.T) {
	p, _ := open(t, Mode{Baud: 115200})
	block := make([]byte, 1<<20)
	took := make(chan time.Duration, 1)
	start := time.Now()
	var err error
	go func() { _, err = p.Write(block); took <- time.Since(start) }()
	time.Sleep(50 * time.Millisecond)
	within(t, 3*time.Second, func() { p.Close() })
	within(t, 3*time.Second, func() { <-took })
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: %v, want that it was closed", err)
	}
	q, _ := open(t, Mode{Baud: 4000000})
	within(t, 8*time.Second, func() {
		if _, err := q.Write(block[:100_000]); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v, want the deadline", err)
		}
	})
}

// The library writes into whatever has got the descriptor of a closed port.
func TestWriteAfterCloseGoesNowhere(t *testing.T) {
	p, _ := open(t, Mode{Baud: 115200})
	p.Close()
	dir := t.TempDir()
	for i := range 8 { // the next descriptors are files of somebody
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if n, err := p.Write([]byte("money")); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%d, %v", n, err)
	}
	if err := p.SetMode(Mode{Baud: 9600}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("set mode: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	files, _ := filepath.Glob(dir + "/*")
	for _, name := range files {
		if b, _ := os.ReadFile(name); len(b) > 0 {
			t.Errorf("%s has got %q", name, b)
		}
	}
}

// The library panics in Read from descriptor 1024 on.
func TestManyDescriptors(t *testing.T) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil || old.Max < 1200 {
		if os.Getenv("CI") == "true" {
			t.Fatal("too few descriptors")
		}
		t.Skipf("this process may have only %d descriptors", old.Max)
	}
	more := old
	more.Cur = 1200
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Fd() > 1030 {
			break
		}
	}
	p, master := open(t, Mode{Baud: 115200})
	master.Write([]byte("hello"))
	within(t, 3*time.Second, func() {
		if n, err := p.Read(make([]byte, 8)); n == 0 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestUnplugIsSeen(t *testing.T) {
	p, master := open(t, Mode{Baud: 115200})
	time.AfterFunc(30*time.Millisecond, func() { master.Close() })
	within(t, 3*time.Second, func() {
		if _, err := p.Read(make([]byte, 8)); !errors.Is(err, ErrUnplugged) {
			t.Errorf("read: %v", err)
		}
	})
	if _, err := p.Write([]byte{1}); !errors.Is(err, ErrUnplugged) {
		t.Errorf("write: %v", err)
	}
}

// TestHelperHold is a program that has a port open, without a lock as ModemManager has none.
func TestHelperHold(t *testing.T) {
	path := os.Getenv("HOLD_PORT")
	if path == "" {
		t.Skip("is run by TestHeldPortIsNamed")
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("held\n")
	io.Copy(io.Discard, os.Stdin)
	f.Close()
}

func TestHeldPortIsNamed(t *testing.T) {
	_, path := line(t)
	other := exec.Command(os.Args[0], "-test.run", "^TestHelperHold$")
	other.Env = append(os.Environ(), "HOLD_PORT="+path)
	stop, _ := other.StdinPipe()
	says, _ := other.StdoutPipe()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer stop.Close()
	for said := ""; !strings.Contains(said, "held\n"); {
		b := make([]byte, 64)
		n, err := says.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		said += string(b[:n])
	}
	_, err := Open(path, Mode{Baud: 115200})
	var held *HeldError
	if !errors.As(err, &held) || len(held.By) != 1 || held.By[0].PID != other.Process.Pid {
		t.Fatalf("open: %v, %+v", err, held)
	}
	if !strings.Contains(err.Error(), strconv.Itoa(other.Process.Pid)) {
		t.Errorf("%v does not name the process", err)
	}
	probing := &HeldError{By: []Holder{{812, "ModemManager"}}}
	if !strings.Contains(probing.Error(), "ID_MM_DEVICE_IGNORE") {
		t.Errorf("%v does not help", probing)
	}
}

func TestSecondOpenOfThisProcessIsRefused(t *testing.T) {
	p, _ := open(t, Mode{Baud: 115200})
	var held *HeldError
	if _, err := Open(p.Path(), Mode{Baud: 115200}); !errors.As(err, &held) {
		t.Fatalf("a second port on the same line: %v", err)
	}
	p.Close()
	again, err := Open(p.Path(), Mode{Baud: 115200})
	if err != nil {
		t.Fatalf("after close: %v", err)
	}
	again.Close()
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "missing"), Mode{Baud: 9600}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Open(file, Mode{Baud: 9600}); err == nil || !strings.Contains(err.Error(), "is no serial port") {
		t.Error(err)
	}
	_, path := line(t)
	if _, err := Open(path, Mode{Baud: 0}); err == nil {
		t.Error("a speed that no line has was taken")
	}
	if p, err := Open(path, Mode{Baud: 9600}); err != nil {
		t.Errorf("a failed open has kept the port: %v", err)
	} else {
		p.Close()
	}
}

// A port that turned out to be somebody else's gets its settings back.
func TestRestore(t *testing.T) {
	master, path := line(t)
	before, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(path, Mode{Baud: 921600, TwoStopBits: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	p.Close()
	after, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("settings %+v, %v; want %+v", after, err, before)
	}
}

// Close must not leave descriptors behind, also where opening fails half way.
func TestNothingIsLeftOpen(t *testing.T) {
	_, path := line(t)
	count := func() int { open, _ := os.ReadDir("/proc/self/fd"); return len(open) }
	before := count()
	for range 100 {
		if p, err := Open(path, Mode{Baud: 115200}); err != nil {
			t.Fatal(err)
		} else {
			p.Close()
		}
		if _, err := Open(path, Mode{Baud: 0}); err == nil {
			t.Fatal("no error")
		}
	}
	if after := count(); after > before+2 {
		t.Errorf("%d descriptors, there were %d", after, before)
	}
}

// To look at a port that somebody else has must not cost a byte that is on its way to him: it may be a booking.
func TestHeldPortKeepsItsBytes(t *testing.T) {
	master, path := line(t)
	other, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if err := unix.Flock(other, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if _, err := master.WriteString("booking\n"); err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if p, err := Open(path, Mode{Baud: 9600}); !errors.As(err, &held) {
		t.Fatal(p, err)
	}
	got := make([]byte, 16)
	if n, err := unix.Read(other, got); err != nil || string(got[:n]) != "booking\n" {
		t.Errorf("the other one reads %q, %v", got[:max(n, 0)], err)
	}
}
