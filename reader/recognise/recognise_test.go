package recognise

import (
	"io"
	"strings"
	"testing"
	"time"

	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/pn532sim"
	"tapkeeper/reader/readertest/zvtsim"
	"tapkeeper/reader/serialport"
)

func pty(t *testing.T) *line.PTY {
	t.Helper()
	l, err := line.OpenPTY("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestKnownDevices(t *testing.T) {
	t.Parallel()
	chip, terminal := pty(t), pty(t)
	go pn532sim.New().Serve(chip)
	go zvtsim.New(true).Serve(terminal)
	if v := Path(chip.Path()); v.Kind != PN532 || v.Baud != 115200 || v.Detail != "PN532, firmware 1.6" {
		t.Errorf("%+v", v)
	}
	if v := Path(terminal.Path()); v.Kind != ZVT || v.Baud != 9600 || v.Detail != "ZVT terminal, software 1.0" {
		t.Errorf("%+v", v)
	}
}

// A foreign device gets no line feed, no escape, no letter: nothing that it could carry out.
func TestForeignDeviceIsNotHarmed(t *testing.T) {
	t.Parallel()
	l := pty(t)
	heard := make(chan []byte, 1)
	go func() {
		var all []byte
		b := make([]byte, 256)
		for {
			n, err := l.Read(b)
			if err != nil {
				heard <- all
				return
			}
			all = append(all, b[:n]...)
		}
	}()
	if v := Path(l.Path()); v.Kind != "" || !strings.Contains(v.Detail, "nothing that is known") {
		t.Errorf("%+v", v)
	}
	l.Close()
	all := <-heard
	if len(all) == 0 || len(all) > 80 {
		t.Errorf("%d bytes were sent", len(all))
	}
	for _, c := range all {
		if c == '\n' || c == '\r' || c == 0x1B || c >= '0' && c <= 'z' && c != '*' {
			t.Errorf("the byte %02X was sent: % X", c, all)
		}
	}
}

func TestWhoSpeaksIsNotAsked(t *testing.T) {
	t.Parallel()
	l := pty(t)
	asked := make(chan int, 1)
	go func() {
		n, err := l.Read(make([]byte, 64))
		if err != nil {
			n = 0
		}
		asked <- n
	}()
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = io.WriteString(l, "$GPGGA,1\r\n")
			}
		}
	}()
	v := Path(l.Path())
	close(stop)
	l.Close()
	if v.Kind != "" || !strings.Contains(v.Detail, "$GPGGA") || <-asked != 0 {
		t.Errorf("%+v", v)
	}
}

func TestNamedDevicesAreNotTouched(t *testing.T) {
	for _, f := range []serialport.Found{
		{Path: "/nonexistent", USB: "1546:01a7", Title: "u-blox GNSS receiver"},
		{Path: "/nonexistent"},
		{Path: "/nonexistent", Bridge: true, By: []serialport.Holder{{PID: 7, Name: "ModemManager"}}},
	} {
		if v := Port(f); v.Kind != "" || strings.Contains(v.Detail, "no such file") {
			t.Errorf("%+v: %+v", f, v)
		}
	}
	if v := Port(serialport.Found{Path: "/nonexistent", Bridge: true}); !strings.Contains(v.Detail, "no such file") {
		t.Errorf("%+v", v)
	}
}

func TestSettingsArePutBack(t *testing.T) {
	l := pty(t)
	port, err := serialport.Open(l.Path(), serialport.Mode{Baud: 19200})
	if err != nil {
		t.Fatal(err)
	}
	port.Close()
	before := l.Baud()
	Path(l.Path())
	if after := l.Baud(); after != before {
		t.Errorf("%d baud, it had %d", after, before)
	}
}
