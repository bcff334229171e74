package readertest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tapkeeper/reader"
)

var echo = []byte{0x00, 0xA4, 0x04, 0x00, 0x02, 0x11, 0x22}

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults Faults
		ok     int // exchanges that succeed
		seen   int // commands that reach the phone
	}{
		{"none", Faults{}, 4, 4},
		{"before the first", Faults{RemoveBefore: 1}, 0, 0},
		{"before the third", Faults{RemoveBefore: 3}, 2, 2},
		{"after the third", Faults{RemoveAfter: 3}, 2, 3},
	} {
		var phone Loop
		r := NewReader("faulty")
		if err := r.PresentWith(&phone, tc.faults); err != nil {
			t.Fatal(err)
		}
		card, err := r.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ok := 0
		for range 4 {
			_, _, err := card.Transmit(t.Context(), echo)
			if err == nil {
				ok++
			} else if !errors.Is(err, reader.ErrCardGone) {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
		if seen := len(phone.Seen()); ok != tc.ok || seen != tc.seen {
			t.Errorf("%s: %d answers, %d seen; want %d and %d", tc.name, ok, seen, tc.ok, tc.seen)
		}
		r.Close()
	}
}

// A slow phone costs no real time in a bubble.
func TestDelayInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReader("slow")
		defer r.Close()
		var phone Loop
		if err := r.PresentWith(&phone, Faults{Delay: time.Minute, DelayFrom: 2}); err != nil {
			t.Fatal(err)
		}
		card, err := r.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []time.Duration{0, time.Minute} {
			if _, took, err := card.Transmit(t.Context(), echo); err != nil || took != want {
				t.Errorf("took %v, %v; want %v", took, err, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, took, err := card.Transmit(ctx, echo); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("took %v, %v; want one second and the deadline", took, err)
		}
		if len(phone.Seen()) != 3 {
			t.Error("the phone has not carried out the command whose answer came too late")
		}
	})
}

func TestTwoPhonesAndNoReader(t *testing.T) {
	r := NewReader("crowded")
	defer r.Close()
	var one, two Loop
	_ = r.Present(&one)
	_ = r.Present(&two)
	if _, err := r.Await(t.Context()); !errors.Is(err, reader.ErrManyCards) {
		t.Errorf("two phones: %v", err)
	}
	r.Remove()
	r.Unplug()
	if r.State() != reader.Missing {
		t.Errorf("state %v", r.State())
	}
	_ = r.Present(&one)
	time.AfterFunc(20*time.Millisecond, r.Plug)
	card, err := r.Await(t.Context())
	if err != nil || r.State() != reader.InUse {
		t.Fatalf("%v, state %v", err, r.State())
	}
	r.Unplug()
	if _, _, err := card.Transmit(t.Context(), echo); !errors.Is(err, reader.ErrReaderGone) {
		t.Errorf("unplugged: %v", err)
	}
}
