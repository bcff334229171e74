package zvt_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/zvtsim"
	"tapkeeper/reader/zvt"
)

const euro = 978

// rig is a terminal on a line, and its client.
type rig struct {
	t        *testing.T
	terminal *zvtsim.Terminal
	client   *zvt.Client
	device   string
}

func newRig(t *testing.T, serial bool) *rig {
	t.Helper()
	r := &rig{t: t, terminal: zvtsim.New(serial)}
	r.terminal.Patience, r.terminal.Slowness = 300*time.Millisecond, 60*time.Millisecond
	var l zvtsim.Line
	if serial {
		pty, err := line.OpenPTY(t.TempDir() + "/tty")
		if err != nil {
			t.Fatal(err)
		}
		l, r.device = pty, pty.Path()
	} else {
		tcp, err := line.ListenTCP("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, r.device = tcp, "tcp:"+tcp.Addr()
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() { defer close(done); r.terminal.Serve(l) }()
	r.connect()
	return r
}

// connect makes the client of the daemon's next life.
func (r *rig) connect() {
	r.t.Helper()
	c, err := zvt.OpenQuick(r.device, zvt.Options{Currency: euro})
	if err != nil {
		r.t.Fatal(err)
	}
	r.client = c
	r.t.Cleanup(func() { c.Close() })
	for end := time.Now().Add(5 * time.Second); c.State() != reader.Ready; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("no terminal: %v, %v", c.State(), c.Trouble())
		}
	}
}

// witness keeps what it is told, as a journal would.
type witness struct {
	mu     sync.Mutex
	stored []zvt.Status
	hints  []string
	lines  []string
	refuse error
	slow   time.Duration
}

func (w *witness) Store(s zvt.Status) error {
	time.Sleep(w.slow)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	w.stored = append(w.stored, s)
	return nil
}

func (w *witness) Hint(h zvt.Hint)        { w.hints = append(w.hints, h.Words()) }
func (w *witness) Printed(lines []string) { w.lines = append(w.lines, lines...) }

// both runs a test on a serial line and on TCP.
func both(t *testing.T, f func(t *testing.T, r *rig)) {
	for name, serial := range map[string]bool{"serial": true, "tcp": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newRig(t, serial))
		})
	}
}

func TestPayment(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		var w witness
		s, err := r.client.Pay(t.Context(), 12_50, euro, &w)
		if err != nil || s.Code != 0 || s.AmountMinor != 12_50 || s.Currency != euro || s.Receipt != "0001" || s.LastDigits != "4321" || s.Reading != "contactless" || s.Card != "girocard" {
			t.Fatalf("%+v, %v", s, err)
		}
		if len(w.stored) != 1 || w.stored[0].Ident() != s.Ident() || s.Ident() == "" {
			t.Errorf("stored %+v", w.stored)
		}
		if !slices.Equal(w.hints, []string{"Karte bitte", "Bitte warten"}) || !slices.Contains(w.lines, "** HÄNDLERBELEG **") {
			t.Errorf("hints %q, receipt %q", w.hints, w.lines)
		}
		again, found, err := r.client.Repeat(t.Context())
		if err != nil || !found || again.Ident() != s.Ident() {
			t.Errorf("repeated %+v, %v, %v", again, found, err)
		}
		if s, err := r.client.Reverse(t.Context(), s.Receipt, &witness{}); err != nil || s.Code != 0 {
			t.Errorf("reversal %+v, %v", s, err)
		}
		if s, err := r.client.Reverse(t.Context(), "0001", &witness{}); err != nil || s.Code != zvt.CodeReversed {
			t.Errorf("second reversal %+v, %v", s, err)
		}
		if s, err := r.client.Refund(t.Context(), 3_00, euro, &witness{}); err != nil || s.Code != 0 || s.AmountMinor != 3_00 {
			t.Errorf("refund %+v, %v", s, err)
		}
		if err := r.client.Diagnose(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if code, version, err := r.client.Enquire(t.Context()); code != 0 || version != "1.0" || err != nil {
			t.Error(code, version, err)
		}
		day, err := r.client.EndOfDay(t.Context(), &witness{})
		if err != nil || len(day.Totals) != 7 || day.Totals[0].Count != 3 {
			t.Errorf("day %+v, %v", day, err)
		}
	})
}

func TestNotPaid(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		if _, found, err := r.client.Repeat(t.Context()); found || err != nil {
			t.Errorf("a terminal without bookings repeats: %v, %v", found, err)
		}
		r.terminal.SetDecide(func(minor int64) byte { return byte(minor) })
		var w witness
		s, err := r.client.Pay(t.Context(), 5, euro, &w)
		if err != nil || s.Code != 5 || s.Text != "abgelehnt" || len(w.stored) != 1 {
			t.Errorf("%+v, %v", s, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r.terminal.SetFault(func(m zvtsim.Message) zvtsim.Fault {
			if m.Control == zvt.IntermStatus {
				return zvtsim.Slow
			}
			return zvtsim.None
		})
		s, err = r.client.Pay(ctx, 100, euro, &w)
		if !errors.Is(err, zvt.ErrUntouched) && (err != nil || s.Code != zvt.CodeTimeout) {
			t.Errorf("cancelled: %+v, %v", s, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if s, err = r.client.Pay(ctx, 100, euro, &w); err != nil || s.Code != zvt.CodeTimeout {
			t.Errorf("stopped by the cashier: %+v, %v", s, err)
		}
		if n := len(r.terminal.Bookings()); n != 0 {
			t.Errorf("%d bookings", n)
		}
		for _, bad := range []int64{0, -1, 1e12} {
			if _, err := r.client.Pay(t.Context(), bad, euro, &w); !errors.Is(err, zvt.ErrUntouched) {
				t.Errorf("amount %d: %v", bad, err)
			}
		}
	})
}

// A booking that the journal refuses is reversed by the terminal.
func TestBookingThatCannotBeKept(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		full := errors.New("disk full")
		s, err := r.client.Pay(t.Context(), 100, euro, &witness{refuse: full})
		if !errors.Is(err, full) || s.Code == 0 {
			t.Errorf("%+v, %v", s, err)
		}
		if n, d := len(r.terminal.Bookings()), r.terminal.Dropped(); n != 0 || d != 1 {
			t.Errorf("%d bookings, %d dropped", n, d)
		}
		var w witness
		w.slow = 250 * time.Millisecond // longer than it may take: the terminal is asked to wait
		s, err = r.client.Pay(t.Context(), 100, euro, &w)
		if err != nil || s.Code != 0 || len(w.stored) != 1 || len(r.terminal.Bookings()) != 1 {
			t.Errorf("slow disk: %+v, %v, stored %d", s, err, len(w.stored))
		}
	})
}

// Faults of the line that the protocol mends.
func TestLineFaultsAreMended(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault zvtsim.Fault
	}{{"split reads", zvtsim.Split}, {"everything twice", zvtsim.Twice}, {"wrong check sums", zvtsim.WrongSum}, {"slow", zvtsim.Slow}} {
		t.Run(tc.name, func(t *testing.T) {
			both(t, func(t *testing.T, r *rig) {
				r.terminal.SetFault(func(m zvtsim.Message) zvtsim.Fault {
					if m.Incoming || tc.fault == zvtsim.Slow && m.Control != zvt.IntermStatus {
						return zvtsim.None
					}
					return tc.fault
				})
				var w witness
				s, err := r.client.Pay(t.Context(), 100, euro, &w)
				if err != nil || s.Code != 0 || len(w.stored) != 1 || len(r.terminal.Bookings()) != 1 {
					t.Errorf("%+v, %v; stored %d, booked %d", s, err, len(w.stored), len(r.terminal.Bookings()))
				}
			})
		})
	}
}

func TestBusyTerminalAndLostAcknowledgement(t *testing.T) {
	r := newRig(t, true)
	for _, f := range []zvtsim.Fault{zvtsim.Busy, zvtsim.NoACK} {
		done := false
		r.terminal.SetFault(func(m zvtsim.Message) zvtsim.Fault {
			if m.Control == zvt.Authorisation && !done {
				done = true
				return f
			}
			return zvtsim.None
		})
		var w witness
		if s, err := r.client.Pay(t.Context(), 100, euro, &w); err != nil || s.Code != 0 || len(w.stored) != 1 {
			t.Errorf("fault %d: %+v, %v", f, s, err)
		}
	}
	if n := len(r.terminal.Bookings()); n != 2 {
		t.Errorf("%d bookings", n)
	}
}

func TestPasswordAndDevice(t *testing.T) {
	if _, err := zvt.Open("/dev/null", zvt.Options{Password: "12345x"}); err == nil {
		t.Error("a password with a letter was taken")
	}
	c, err := zvt.Open("tcp:127.0.0.1:1", zvt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Pay(t.Context(), 100, euro, &witness{}); !errors.Is(err, zvt.ErrUntouched) {
		t.Errorf("no terminal: %v", err)
	}
	if c.State() != reader.Missing || c.Trouble() == nil {
		t.Errorf("%v, %v", c.State(), c.Trouble())
	}
}

func TestCloseEndsACommand(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.terminal.SetFault(func(m zvtsim.Message) zvtsim.Fault {
			if m.Control == zvt.IntermStatus {
				return zvtsim.Lost
			}
			return zvtsim.None
		})
		time.AfterFunc(50*time.Millisecond, func() { r.client.Close() })
		if _, err := r.client.Pay(t.Context(), 100, euro, &witness{}); !errors.Is(err, reader.ErrClosed) || errors.Is(err, zvt.ErrUntouched) {
			t.Errorf("%v", err)
		}
	})
}
