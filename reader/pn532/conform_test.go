package pn532

import (
	"io"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/conform"
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/pn532sim"
)

// module is a simulated module on a pty.
func module(t testing.TB) (*pn532sim.Chip, *line.PTY) {
	t.Helper()
	l, err := line.OpenPTY("")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, l), l
}

func serve(t testing.TB, l io.ReadWriteCloser) *pn532sim.Chip {
	t.Helper()
	chip := pn532sim.New()
	done := make(chan struct{})
	go func() { defer close(done); chip.Serve(l) }()
	t.Cleanup(func() { l.Close(); chip.Remove(); <-done })
	return chip
}

// together is a reader whose simulator ends with it: the suite counts goroutines.
type together struct {
	*Reader
	line io.Closer
}

func (r together) Close() error {
	err := r.Reader.Close()
	r.line.Close()
	return err
}

func open(t testing.TB, device string, o Options) *Reader {
	t.Helper()
	r, err := Open(device, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestConformOnPTY(t *testing.T) {
	conform.Run(t, conform.Rig{Notice: 100 * time.Millisecond, Open: func(t *testing.T) (reader.Reader, readertest.Field) {
		chip, l := module(t)
		return together{open(t, l.Path(), Options{Fast: true}), l}, chip
	}})
}

func TestConformOnTCP(t *testing.T) {
	conform.Run(t, conform.Rig{Notice: 100 * time.Millisecond, Open: func(t *testing.T) (reader.Reader, readertest.Field) {
		l, err := line.ListenTCP("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		chip := serve(t, l)
		return together{open(t, "tcp:"+l.Addr(), Options{}), l}, chip
	}})
}
