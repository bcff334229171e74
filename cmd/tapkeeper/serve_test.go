package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

func jsonLog(w io.Writer) zerolog.Logger { return zerolog.New(w) }

// systemd hears that the daemon is ready once payments can be opened, that it
// lives, and that it stops.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	s := openShop(t)
	heard := func(want string) {
		t.Helper()
		for buf := make([]byte, 256); ; {
			if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, _, err := l.ReadFrom(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if string(buf[:n]) == want {
				return
			}
		}
	}
	heard("READY=1")
	s.open(cny("1001", 1_00))
	heard("WATCHDOG=1")
	s.stop()
	heard("STOPPING=1")
}

// The log is JSON, but on a terminal it is for eyes, and without colours when
// NO_COLOR asks for that.
func TestLogForm(t *testing.T) {
	write := func(f *os.File) {
		log, err := newLog(f)
		if err != nil {
			t.Fatal(err)
		}
		log.Warn().Str("reader", "ACME").Msg("gone")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	write(file)
	raw, err := os.ReadFile(file.Name())
	if err != nil || !strings.HasPrefix(string(raw), `{"level":"warn","reader":"ACME"`) {
		t.Errorf("in a file: %q %v", raw, err)
	}
	for _, c := range []struct {
		noColor string
		escapes bool
	}{{"", true}, {"1", false}} {
		t.Setenv("NO_COLOR", c.noColor)
		eyes, tty := terminalPair(t)
		write(tty)
		line := make([]byte, 512)
		n, err := eyes.Read(line)
		text := string(line[:n])
		if err != nil || !strings.Contains(text, "WRN") || !strings.Contains(text, "gone") || strings.Contains(text, "{") ||
			strings.Contains(text, "\x1b") != c.escapes {
			t.Errorf("NO_COLOR=%q: %q %v", c.noColor, text, err)
		}
	}
	t.Setenv("TAPKEEPER_LOG", "error")
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	write(file)
	if raw, err := os.ReadFile(file.Name()); err != nil || len(raw) != 0 {
		t.Errorf("below the level: %q %v", raw, err)
	}
}

// terminalPair is a pseudo-terminal: what is written to tty is read from eyes.
func terminalPair(t *testing.T) (eyes, tty *os.File) {
	t.Helper()
	eyes, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no pseudo-terminals: %v", err)
		}
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { eyes.Close() })
	if err := unix.IoctlSetPointerInt(int(eyes.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(eyes.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return eyes, tty
}
