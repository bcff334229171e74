//go:build cgo && !nopcsc

package pcsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

// tapLength is how many commands the taps here have, about as many as a payment.
const tapLength = 8

// Every failure that a driver can report, at every command of a tap, ends in the sentinel that the caller acts on, and
// the next phone is served. Each kind has a reader of its own, so that many readers are watched at once.
func TestFailureAtEveryCommand(t *testing.T) {
	l := lab(t)
	s := realService(t)
	var all sync.WaitGroup
	defer all.Wait()
	for i, tc := range []struct {
		name    string
		failure readertest.Failure
		want    error // nil: unexpected, none of the sentinels
		bound   time.Duration
	}{
		{"removed", readertest.Removed, reader.ErrCardGone, 300 * time.Millisecond},
		{"field lost", readertest.FieldLost, reader.ErrCardGone, 300 * time.Millisecond},
		{"communication error", readertest.Garbled, reader.ErrCardGone, 300 * time.Millisecond},
		{"silent", readertest.Silent, reader.ErrCardGone, 900 * time.Millisecond},
		{"answer of one byte", readertest.Short, nil, 300 * time.Millisecond},
	} {
		d := acr122(fmt.Sprint(1000 + i))
		l.Plug(d)
		r := s.Reader(fmt.Sprintf("%s (%s)", acrName, d.Serial))
		all.Go(func() {
			defer r.Close()
			for n := 1; n <= tapLength; n++ {
				worst := failAt(t, r, d.Slot(0), n, tc.name, tc.failure, tc.want, tc.bound)
				if worst > recoveryBound {
					t.Errorf("%s at command %d: the next phone was served after %v", tc.name, n, worst)
				}
			}
		})
	}
}

// recoveryBound is how long the next phone may wait after a failed tap: pcscd may have to see the last one go, and
// the next one come, at one poll each, on a busy machine.
const recoveryBound = 3 * time.Second

// failAt makes one tap with a failure, and returns how long the next phone had to wait.
func failAt(t testing.TB, r *Reader, field *readertest.Slot, n int, name string, f readertest.Failure, want error, bound time.Duration) time.Duration {
	var phone, next readertest.Loop
	field.FailAt(n, f)
	_ = field.Present(&phone)
	card := await(t, r)
	for i := 1; i <= tapLength; i++ {
		start := time.Now()
		_, _, err := card.Transmit(t.Context(), sel)
		switch took := time.Since(start); {
		case i < n && err != nil:
			t.Errorf("%s at %d: command %d: %v", name, n, i, err)
		case i != n:
		case took > bound:
			t.Errorf("%s at %d took %v, want at most %v", name, n, took, bound)
		case want != nil && !errors.Is(err, want), want == nil && (err == nil || sentinel(err)):
			t.Errorf("%s at %d: %v", name, n, err)
		}
		if err != nil && i > n && !errors.Is(err, want) && want != nil {
			t.Errorf("%s at %d: later command: %v", name, n, err)
		}
	}
	_ = card.Release(0)
	_ = field.Present(&next)
	start := time.Now()
	for { // a phone that was not seen to go may be found once more
		card = await(t, r)
		_, _, err := card.Transmit(t.Context(), sel)
		_ = card.Release(0)
		if err == nil && len(next.Seen()) == 1 {
			break
		}
		if time.Since(start) > 2*recoveryBound {
			t.Errorf("%s at %d: the next phone is not served: %v", name, n, err)
			break
		}
	}
	took := time.Since(start)
	field.Remove()
	return took
}

func sentinel(err error) bool {
	for _, s := range []error{reader.ErrCardGone, reader.ErrReaderGone, reader.ErrBusy, reader.ErrManyCards, reader.ErrClosed} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

func TestMuteCard(t *testing.T) {
	l := lab(t)
	r := realService(t).Reader(acrName)
	defer r.Close()
	d := acr122("")
	l.Plug(d)
	stateWithin(t, r, reader.Ready, 3*time.Second)
	var phone readertest.Loop
	d.Slot(0).Mute(true)
	_ = d.Slot(0).Present(&phone)
	stateWithin(t, r, reader.Mute, time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("await: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { d.Slot(0).Mute(false) }) // it has come closer
	within(t, "a card that answers at last", time.Second, func() {
		card := await(t, r)
		if _, _, err := card.Transmit(t.Context(), sel); err != nil {
			t.Error(err)
		}
		_ = card.Release(0)
	})
}

// A reader behind a hub without power stops to answer, and udev says nothing.
func TestReaderLostWithoutAnEvent(t *testing.T) {
	l := lab(t)
	r := realService(t).Reader(acrName)
	defer r.Close()
	d := acr122("")
	l.Plug(d)
	var phone readertest.Loop
	stateWithin(t, r, reader.Ready, 3*time.Second)
	_ = d.Slot(0).Present(&phone)
	card := await(t, r)
	d.Slot(0).FailAt(1, readertest.Lost)
	within(t, "lost in an exchange", pulledBound, func() {
		if _, _, err := card.Transmit(t.Context(), sel); !errors.Is(err, reader.ErrReaderGone) {
			t.Errorf("lost: %v", err)
		}
	})
	_ = card.Release(0)
	stateWithin(t, r, reader.Missing, 4*time.Second)
	d.Return()
	within(t, "back", 4*time.Second, func() {
		card = await(t, r)
		if _, _, err := card.Transmit(t.Context(), sel); err != nil {
			t.Error(err)
		}
		_ = card.Release(0)
	})
}

// Two slots of one device are two readers.
func TestTwoSlots(t *testing.T) {
	l := lab(t)
	s := realService(t)
	d := &readertest.Device{USB: "072f:223b", Slots: 2}
	l.Plug(d)
	var all sync.WaitGroup
	for slot := range 2 {
		r := s.Reader(fmt.Sprintf("ACS ACR1252 Dual Reader 00 %02d", slot))
		phone := readertest.Loop{Reply: func(int, []byte) []byte { return []byte{byte(slot), 0x90, 0x00} }}
		_ = d.Slot(slot).Present(&phone)
		all.Go(func() {
			defer r.Close()
			for range 10 {
				card := await(t, r)
				if answer, _, err := card.Transmit(t.Context(), sel); err != nil || len(answer) != 3 || answer[0] != byte(slot) {
					t.Errorf("slot %d: %x, %v", slot, answer, err)
				}
				_ = card.Release(0)
			}
		})
	}
	all.Wait()
}

// Two readers of a make with serial numbers are told apart whatever their numbers are, and two without are not mixed up.
func TestReadersAreFoundAgainByTheirSerialNumbers(t *testing.T) {
	l := lab(t)
	s := realService(t)
	one, two := acr122("0001"), acr122("0002")
	l.Plug(one)
	l.Plug(two)
	r := s.Reader(acrName + " (0002) 01 00") // as pcsc_scan shows it
	defer r.Close()
	stateWithin(t, r, reader.Ready, 3*time.Second)
	l.Unplug(one)
	l.Unplug(two)
	stateWithin(t, r, reader.Missing, 3*time.Second)
	l.Plug(two) // alone now, under number 00
	var phone, wrong readertest.Loop
	_ = two.Slot(0).Present(&phone)
	card := await(t, r)
	_ = card.Release(0)
	two.Slot(0).Remove()
	l.Unplug(two)
	stateWithin(t, r, reader.Missing, 3*time.Second)
	l.Plug(one)
	_ = one.Slot(0).Present(&wrong)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the other reader was taken: %v", err)
	}
	plain := s.Reader(acrName)
	defer plain.Close()
	if got := plain.State(); got != reader.Missing {
		t.Errorf("a name without a serial number means a reader that has none: %q", got)
	}
	a, b := acr122(""), acr122("")
	l.Plug(a)
	stateWithin(t, plain, reader.Ready, 3*time.Second)
	l.Plug(b)
	stateWithin(t, plain, reader.Ambiguous, 3*time.Second)
}

// pcscd ends or hangs in each state of a tap, and comes back.
func TestPCSCDInEachState(t *testing.T) {
	l := lab(t)
	s := realService(t)
	d := acr122("")
	l.Plug(d)
	r := s.Reader(acrName)
	defer r.Close()
	stateWithin(t, r, reader.Ready, 3*time.Second)
	for _, how := range []string{"stopped", "killed", "frozen"} {
		for _, when := range []string{"awaiting", "between commands", "in a command"} {
			began := time.Now()
			breakPCSCD(t, l, r, d, how, when)
			t.Logf("%s while %s: served again %v after it was back", how, when, time.Since(began).Round(time.Millisecond))
		}
	}
}

func breakPCSCD(t *testing.T, l *readertest.Lab, r *Reader, d *readertest.Device, how, when string) {
	field := d.Slot(0)
	harm := func() {
		switch how {
		case "stopped":
			go func() { _ = l.Signal(syscall.SIGTERM) }()
		case "killed":
			_ = l.Signal(syscall.SIGKILL)
		case "frozen":
			_ = l.Signal(syscall.SIGSTOP)
		}
	}
	finish := make(chan struct{})
	defer close(finish)
	started := make(chan struct{}, 1)
	phone := readertest.Loop{Reply: func(n int, _ []byte) []byte {
		if n == 2 {
			started <- struct{}{}
			<-finish
		}
		return []byte{0x90, 0x00}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if when == "awaiting" {
		time.AfterFunc(50*time.Millisecond, harm)
		if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s while %s: %v", how, when, err)
		}
	} else {
		_ = field.Present(&phone)
		card := await(t, r)
		if _, _, err := card.Transmit(t.Context(), sel); err != nil {
			t.Errorf("%s while %s: before: %v", how, when, err)
		}
		if when == "in a command" {
			go func() { <-started; harm() }()
		} else {
			harm()
			time.Sleep(20 * time.Millisecond)
			select {
			case started <- struct{}{}: // the command never arrives
			default:
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		within(t, how+" while "+when, 1200*time.Millisecond, func() {
			_, _, err := card.Transmit(ctx, sel)
			if want := map[bool]error{true: context.DeadlineExceeded, false: reader.ErrReaderGone}[how == "frozen"]; !errors.Is(err, want) {
				// pcscd that is stopped first waits for the command that runs.
				if how != "stopped" || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s while %s: %v, want %v", how, when, err, want)
				}
			}
		})
		within(t, "release", 1500*time.Millisecond, func() { _ = card.Release(0) })
		field.Remove()
	}
	if how == "frozen" {
		_ = l.Signal(syscall.SIGCONT)
	} else {
		if when != "in a command" {
			stateWithin(t, r, reader.NoService, 2*time.Second)
		}
		_ = l.Signal(syscall.SIGKILL)
		<-l.Exited()
		if err := l.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var next readertest.Loop
	_ = field.Present(&next)
	within(t, "the next phone after "+how+" while "+when, 6*time.Second, func() {
		for {
			card := await(t, r)
			_, _, err := card.Transmit(t.Context(), sel)
			_ = card.Release(0)
			if err == nil {
				return
			}
		}
	})
	field.Remove()
}

// A thousand readers are opened, fail in turn in each way, and are closed: nothing is left of them. pcscd has 200
// contexts for all programs, so that a lost one would be noticed early too.
func TestFailuresDoNotLeak(t *testing.T) {
	l := lab(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := acr122("")
	l.Plug(d)
	var phone readertest.Loop
	_ = d.Slot(0).Present(&phone)
	rounds := 1000
	if testing.Short() {
		rounds = 250
	}
	failures := []readertest.Failure{readertest.Short, readertest.Garbled, readertest.Short, 0}
	round := func(i int) {
		r := s.Reader(acrName) // each with a context of its own
		card := await(t, r)
		if f := failures[i%len(failures)]; f != 0 {
			d.Slot(0).FailAt(2, f)
		}
		_, _, good := card.Transmit(t.Context(), sel)
		_, _, bad := card.Transmit(t.Context(), sel)
		if good != nil || (bad != nil) != (failures[i%len(failures)] != 0) {
			t.Fatalf("round %d: %v, %v", i, good, bad)
		}
		if i%3 != 0 { // a third of them are closed with the card in hand
			_ = card.Release(0)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		round(i)
	}
	descriptors, threads := opened(t)
	for i := range rounds {
		round(i)
	}
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		d, n := opened(t)
		if d <= descriptors+2 && n <= threads+2 { // the watch reconnects, and the runtime keeps a thread or two
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d descriptors and %d threads, before %d and %d", d, n, descriptors, threads)
		}
	}
}

// A service that is opened and closed takes its thread and its socket along.
func TestServicesDoNotLeak(t *testing.T) {
	lab(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 30 {
		s, err := New()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// opened is what this process has open.
func opened(t testing.TB) (descriptors, threads int) {
	t.Helper()
	for dir, n := range map[string]*int{"/proc/self/fd": &descriptors, "/proc/self/task": &threads} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		*n = len(entries)
	}
	return descriptors, threads
}

// A phone that is found before pcscd has seen it would be powered anew by it, in the middle of the tap.
func TestPhoneIsNotPoweredAnewInItsTap(t *testing.T) {
	l := lab(t)
	r := realService(t).Reader(acrName)
	defer r.Close()
	d := acr122("")
	for round := range 3 {
		l.Plug(d)
		stateWithin(t, r, reader.Ready, 3*time.Second)
		var phone readertest.Loop
		time.AfterFunc(time.Duration(round)*100*time.Millisecond, func() { _ = d.Slot(0).Present(&phone) })
		card := await(t, r)
		before := phone.Activations()
		for range 30 {
			if _, _, err := card.Transmit(t.Context(), sel); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if n := phone.Activations(); n != before {
			t.Errorf("round %d: powered %d times in its tap", round, n-before)
		}
		_ = card.Release(0)
		d.Slot(0).Remove()
		l.Unplug(d)
		stateWithin(t, r, reader.Missing, 3*time.Second)
	}
}
