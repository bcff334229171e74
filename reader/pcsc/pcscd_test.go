//go:build cgo && !nopcsc

package pcsc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/conform"
)

// pollTime is pcscd's own: it asks a driver like vpcd every 400 ms whether there is a card.
const pollTime = 400 * time.Millisecond

func realService(t testing.TB) *Service {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func tcp(p *readertest.PCSCD) *readertest.DialField {
	return &readertest.DialField{Network: "tcp", Address: p.Address}
}

func TestConformOnPCSCD(t *testing.T) {
	p := readertest.VPCD(t)
	s := realService(t) // one for all, as in a daemon: what it has seen of the slot before counts
	conform.Run(t, conform.Rig{Notice: 3 * pollTime, Open: func(t *testing.T) (reader.Reader, readertest.Field) {
		return s.Reader(p.Reader), tcp(p)
	}})
}

func TestList(t *testing.T) {
	p := readertest.VPCD(t)
	got, err := List(t.Context())
	if err != nil || !slices.Contains(got, p.Reader) {
		t.Errorf("%q, %v; want %q among them", got, err, p.Reader)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if len(p.Env()) == 0 {
		return // the machine's own goes on
	}
	if _, err := List(t.Context()); !errors.Is(err, reader.ErrReaderGone) {
		t.Errorf("without pcscd: %v", err)
	}
}

func private(t *testing.T) *readertest.PCSCD {
	t.Helper()
	p := readertest.VPCD(t)
	if len(p.Env()) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("no private pcscd here")
		}
		t.Skip("no private pcscd here, and the machine's own must not be stopped")
	}
	return p
}

func TestPCSCDIsKilledDuringAnExchangeAndComesBack(t *testing.T) {
	p := private(t)
	r := realService(t).Reader("")
	defer r.Close()
	started, finish := make(chan struct{}), make(chan struct{})
	phone := readertest.Loop{Reply: func(int, []byte) []byte { close(started); <-finish; return []byte{0x90, 0} }}
	field := tcp(p)
	if err := field.Present(&phone); err != nil {
		t.Fatal(err)
	}
	card := await(t, r)
	go func() {
		<-started
		_ = p.Signal(syscall.SIGKILL)
	}()
	if _, _, err := card.Transmit(t.Context(), sel); !errors.Is(err, reader.ErrReaderGone) {
		t.Errorf("pcscd killed: %v", err)
	}
	close(finish)
	field.Remove()
	if err := card.Release(0); err != nil {
		t.Error(err)
	}
	wantState(t, r, reader.NoService)

	again, err := readertest.StartPCSCD(t.Context(), filepath.Dir(filepath.Dir(p.Socket)))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	field = tcp(again)
	var next readertest.Loop
	if err := field.Present(&next); err != nil {
		t.Fatal(err)
	}
	defer field.Remove()
	card = await(t, r)
	if _, _, err := card.Transmit(t.Context(), sel); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	_ = card.Release(0)
}

func TestPCSCDIsFrozen(t *testing.T) {
	p := private(t)
	r := realService(t).Reader("")
	defer r.Close()
	var phone readertest.Loop
	field := tcp(p)
	if err := field.Present(&phone); err != nil {
		t.Fatal(err)
	}
	defer field.Remove()
	card := await(t, r)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, _, err := card.Transmit(ctx, sel); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("frozen: %v", err)
	}
	_ = card.Release(0)
	listCtx, cancelList := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancelList()
	if _, err := List(listCtx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("list: %v", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("a frozen pcscd has cost %v", took)
	}
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	card = await(t, r)
	if _, _, err := card.Transmit(t.Context(), sel); err != nil {
		t.Errorf("thawed: %v", err)
	}
	_ = card.Release(0)
}

// A pcscd that hangs is told from one that is idle, and even then a service can be closed.
func TestFrozenPCSCDIsNoService(t *testing.T) {
	p := private(t)
	s := realService(t)
	r := s.Reader("")
	defer r.Close()
	stateWithin(t, r, reader.Ready, 3*time.Second)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer p.Signal(syscall.SIGCONT)
	stateWithin(t, r, reader.NoService, staleAfter+time.Second)
	within(t, "close", closeTimeout+time.Second, func() {
		if err := s.Close(); !errors.Is(err, reader.ErrBusy) {
			t.Errorf("close: %v", err)
		}
	})
	_ = p.Signal(syscall.SIGCONT)
}

// A program that keeps a reader for itself is waited for, and State says so.
func TestReaderHeldByAnotherProgram(t *testing.T) {
	p := readertest.VPCD(t)
	r := realService(t).Reader(p.Reader)
	defer r.Close()
	var phone readertest.Loop
	field := tcp(p)
	if err := field.Present(&phone); err != nil {
		t.Fatal(err)
	}
	defer field.Remove()
	other, err := lite{}.establish()
	if err != nil {
		t.Fatal(err)
	}
	defer other.release()
	var h handle
	for end := time.Now().Add(3 * time.Second); h == nil; time.Sleep(10 * time.Millisecond) {
		if h, err = other.connect(p.Reader); err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}
	freed := make(chan time.Time, 1)
	go func() {
		wantState(t, r, reader.Held)
		_ = h.disconnect()
		freed <- time.Now()
	}()
	card := await(t, r)
	if took := time.Since(<-freed); took > 2*time.Second {
		t.Errorf("it took %v to get the free reader", took)
	}
	_ = card.Release(0)
}

// Debian's driver makes each exchange wait for a delayed ACK, 40 ms, unless the phone's side asks for quick ones.
func TestExchangeDoesNotWaitForADelayedACK(t *testing.T) {
	p := readertest.VPCD(t)
	r := realService(t).Reader(p.Reader)
	defer r.Close()
	var phone readertest.Loop
	field := tcp(p)
	if err := field.Present(&phone); err != nil {
		t.Fatal(err)
	}
	defer field.Remove()
	card := await(t, r)
	defer card.Release(0)
	best := time.Hour
	for range 30 {
		_, took, err := card.Transmit(t.Context(), append(sel, make([]byte, 16)...))
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, took)
	}
	if best > 20*time.Millisecond {
		t.Errorf("the quickest of 30 exchanges took %v", best)
	}
}

func BenchmarkExchange(b *testing.B) {
	p := readertest.VPCD(b)
	r := realService(b).Reader(p.Reader)
	defer r.Close()
	phone := readertest.Loop{Reply: func(int, []byte) []byte { return []byte{0x90, 0x00} }}
	field := tcp(p)
	if err := field.Present(&phone); err != nil {
		b.Fatal(err)
	}
	defer field.Remove()
	card, err := r.Await(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer card.Release(0)
	command := append([]byte{0x00, 0xA4, 0x04, 0x00, 14}, "2PAY.SYS.DDF01\x00"...)
	for b.Loop() {
		if _, _, err := card.Transmit(b.Context(), command); err != nil {
			b.Fatal(err)
		}
	}
}
