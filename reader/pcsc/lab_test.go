//go:build cgo && !nopcsc

package pcsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

// lab gives a test a pcscd with readers of software. Its folder is the one of readertest.VPCD, because libpcsclite
// keeps the first socket's path for the life of the process.
func lab(t testing.TB) *readertest.Lab {
	t.Helper()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tapkeeper-pcscd-%d", os.Getpid()))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := readertest.StartLab(context.Background(), dir)
	switch {
	case errors.Is(err, readertest.ErrNoPCSCD) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("PCSCLITE_CSOCK_NAME", l.Socket)
	return l
}

func acr122(serial string) *readertest.Device {
	return &readertest.Device{USB: "072f:2200", Serial: serial}
}

// pulledBound is how long a reader's end in the middle of an exchange may take to be known: pcscd itself sleeps a second
// after a driver has said so, and polls once or twice.
const pulledBound = 3 * time.Second

const acrName = "ACS ACR122U PICC Interface"

// within holds a step to its bound.
func within(t testing.TB, what string, bound time.Duration, f func()) time.Duration {
	t.Helper()
	start := time.Now()
	f()
	took := time.Since(start)
	if took > bound {
		t.Errorf("%s took %v, want at most %v", what, took.Round(time.Millisecond), bound)
	}
	return took
}

func stateWithin(t testing.TB, r *Reader, want reader.State, bound time.Duration) {
	t.Helper()
	for end := time.Now().Add(bound); r.State() != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("state %q after %v, want %q", r.State(), bound, want)
		}
	}
}

// A reader is plugged in, serves, is pulled out in the middle, and comes back under another number.
func TestHotplugFromZeroReaders(t *testing.T) {
	l := lab(t)
	s := realService(t)
	r := s.Reader(acrName)
	defer r.Close()
	stateWithin(t, r, reader.Missing, 2*time.Second)
	d := acr122("")
	l.Plug(d)
	stateWithin(t, r, reader.Ready, 3*time.Second)
	var phone readertest.Loop
	_ = d.Slot(0).Present(&phone)
	card := await(t, r)
	if _, _, err := card.Transmit(t.Context(), sel); err != nil {
		t.Fatal(err)
	}
	d.Slot(0).FailAt(2, readertest.Pulled)
	within(t, "pulled out in an exchange", pulledBound, func() {
		if _, _, err := card.Transmit(t.Context(), sel); !errors.Is(err, reader.ErrReaderGone) {
			t.Errorf("pulled: %v", err)
		}
	})
	_ = card.Release(0)
	stateWithin(t, r, reader.Missing, 2*time.Second)
	other := &readertest.Device{USB: "1234:0001"}
	l.Plug(other) // takes the number
	time.Sleep(100 * time.Millisecond)
	l.Plug(d)
	card = await(t, r)
	if _, _, err := card.Transmit(t.Context(), sel); err != nil {
		t.Errorf("after the replug: %v", err)
	}
	_ = card.Release(0)
	if got := s.Readers(); len(got) != 2 || got[1] != acrName+" 01 00" {
		t.Errorf("readers %q", got)
	}
}
