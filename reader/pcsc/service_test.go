package pcsc

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/conform"
)

const name = "Fake PICC 00 00"

var sel = []byte{0x00, 0xA4, 0x04, 0x00}

func service(t *testing.T, sys system) *Service {
	t.Helper()
	s := newService(sys)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// owned closes the Service with its only Reader, so that the conformance test sees no goroutine of it.
type owned struct {
	*Reader
	s *Service
}

func (o owned) Close() error { return errors.Join(o.Reader.Close(), o.s.Close()) }

func TestConformOnAFake(t *testing.T) {
	conform.Run(t, conform.Rig{Open: func(t *testing.T) (reader.Reader, readertest.Field) {
		f := newFake(name)
		t.Cleanup(func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.contexts != 0 || f.worst > 1 {
				t.Errorf("%d contexts left, %d waits at once", f.contexts, f.worst)
			}
		})
		s := newService(f)
		return owned{s.Reader(""), s}, fakeField{f, name}
	}})
}

func wantState(t *testing.T, r *Reader, want reader.State) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); r.State() != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("state %q, want %q", r.State(), want)
		}
	}
}

func await(t testing.TB, r *Reader) reader.Card {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	card, err := r.Await(ctx)
	if err != nil {
		t.Fatalf("await: %v (state %q)", err, r.State())
	}
	return card
}

func TestReaderPluggedLater(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := newFake()
	s := newService(f)
	defer s.Close()
	r := s.Reader("")
	defer r.Close()
	wantState(t, r, reader.Missing)
	var phone readertest.Loop
	time.AfterFunc(20*time.Millisecond, func() {
		f.plug(name)
		_ = fakeField{f, name}.Present(&phone)
	})
	card := await(t, r)
	if got := s.Readers(); len(got) != 1 || got[0] != name {
		t.Errorf("readers %q", got)
	}
	f.unplug(name)
	if _, _, err := card.Transmit(t.Context(), sel); !errors.Is(err, reader.ErrCardGone) {
		t.Errorf("unplugged: %v", err)
	}
	if err := card.Release(0); err != nil {
		t.Error(err)
	}
	wantState(t, r, reader.Missing)
	f.plug(name)
	wantState(t, r, reader.Ready)
}

func TestServiceEndsAndComesBack(t *testing.T) {
	f := newFake(name)
	r := service(t, f).Reader(name)
	defer r.Close()
	field := fakeField{f, name}
	phone := readertest.Loop{Reply: func(int, []byte) []byte { f.kill(); return []byte{0x90, 0x00} }}
	_ = field.Present(&phone)
	card := await(t, r)
	// Either the answer was quicker than the end, or the exchange has failed with the reader.
	if _, _, err := card.Transmit(t.Context(), sel); err == nil {
		_, _, err = card.Transmit(t.Context(), sel)
		if err == nil {
			t.Fatal("an exchange without pcscd")
		}
	} else if !errors.Is(err, reader.ErrReaderGone) {
		t.Errorf("pcscd ended: %v", err)
	}
	_ = card.Release(0)
	field.Remove()
	wantState(t, r, reader.NoService)
	time.AfterFunc(20*time.Millisecond, f.start)
	var next readertest.Loop
	_ = field.Present(&next)
	card = await(t, r)
	if _, _, err := card.Transmit(t.Context(), sel); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	_ = card.Release(0)
}

func TestCardThatCannotBeTaken(t *testing.T) {
	for _, tc := range []struct {
		denied code
		want   reader.State
	}{{codeSharing, reader.Held}, {codeUnresponsive, reader.Mute}} {
		f := newFake(name)
		r := service(t, f).Reader("")
		f.denied = tc.denied
		var phone readertest.Loop
		_ = fakeField{f, name}.Present(&phone)
		time.AfterFunc(50*time.Millisecond, func() {
			wantState(t, r, tc.want)
			f.change(func() { f.denied = 0 })
		})
		card := await(t, r)
		_ = card.Release(0)
		_ = r.Close()
	}
}

type contactCard struct{ readertest.Loop }

func (*contactCard) ATR() []byte { return []byte{0x3B, 0x65, 0, 0, 0x20, 0x63, 0xCB, 0x68, 0} }

func TestContactCardIsNotTaken(t *testing.T) {
	f := newFake(name)
	r := service(t, f).Reader("")
	defer r.Close()
	var card contactCard
	_ = fakeField{f, name}.Present(&card)
	wantState(t, r, reader.Mute)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("await: %v", err)
	}
	if card.Activations() != 0 {
		t.Error("it was powered")
	}
}

// Calls that do not return are counted, and no more than a few are made.
func TestOverdueCallsAreBounded(t *testing.T) {
	f := newFake(name)
	r := service(t, f).Reader("")
	defer r.Close()
	finish := make(chan struct{})
	for range maxOverdue {
		phone := readertest.Loop{Reply: func(int, []byte) []byte { <-finish; return []byte{0x90, 0x00} }}
		// The fake's field is changed under the card, so that the silent one keeps its call and the next can connect.
		f.change(func() { f.visits[name] = &fakeVisit{phone: &phone, atr: plainATR, gone: make(chan struct{})} })
		card := await(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, _, err := card.Transmit(ctx, sel); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
		_ = card.Release(0)
	}
	var phone readertest.Loop
	f.change(func() { f.visits[name] = &fakeVisit{phone: &phone, atr: plainATR, gone: make(chan struct{})} })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) || r.State() != reader.Wedged {
		t.Errorf("await: %v, state %q", err, r.State())
	}
	close(finish)
	card := await(t, r)
	_ = card.Release(0)
}

func TestCloseEndsReadersOfTheService(t *testing.T) {
	s := newService(newFake(name))
	r := s.Reader("")
	defer r.Close()
	time.AfterFunc(20*time.Millisecond, func() { _ = s.Close() })
	if _, err := r.Await(t.Context()); !errors.Is(err, reader.ErrClosed) {
		t.Errorf("await: %v", err)
	}
	if r.State() != reader.Closed {
		t.Errorf("state %q", r.State())
	}
}
