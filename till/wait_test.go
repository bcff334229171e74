package till

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tapkeeper/terminal"
)

// Prefer: wait holds the answer until the outcome, and only until then.
func TestPreferWait(t *testing.T) {
	for _, c := range []struct {
		name, prefer string
		change       func(*terminal.Payment)
		state        string
		took         time.Duration
	}{
		{"no wish", "", nil, "awaiting_tap", 0},
		{"other wishes", "return=minimal, wait=0, wait=x", nil, "awaiting_tap", 0},
		{"nothing happens", "respond-async, wait=30", nil, "awaiting_tap", 30 * time.Second},
		{"no longer than we allow", "wait=86400", nil, "awaiting_tap", maxWait},
		{"declined", "wait=60", func(p *terminal.Payment) { p.State = terminal.Declined }, "declined", 7 * time.Second},
		{"unknown is told at once", "wait=60", func(p *terminal.Payment) { p.State = terminal.Unknown }, "unknown", 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, began := newShelf(), time.Now()
			h := Handler("test", s, s, s)
			if c.change != nil {
				go func() {
					time.Sleep(7 * time.Second)
					s.move(c.change)
				}()
			}
			_, raw := call(t, h, "POST", "/v1/payments", order, "Prefer", c.prefer)
			p := decode[Payment](t, raw)
			if p.State != c.state || time.Since(began) != c.took {
				t.Errorf("%s: %s after %s, want %s after %s", c.name, p.State, time.Since(began), c.state, c.took)
			}
		})
	}
}

// Whoever knows that a payment is unknown, and asks again, waits for its end.
func TestUnknownIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		h := Handler("test", s, s, s)
		_, raw := call(t, h, "POST", "/v1/payments", order)
		s.move(func(p *terminal.Payment) { p.State = terminal.Unknown })
		began := time.Now()
		go func() {
			time.Sleep(9 * time.Second)
			s.move(func(p *terminal.Payment) { p.State = terminal.Failed })
		}()
		_, raw = call(t, h, "GET", "/v1/payments/"+decode[Payment](t, raw).ID+"?outcome=true", "", "Prefer", "wait=60")
		if p := decode[Payment](t, raw); p.State != "failed" || time.Since(began) != 9*time.Second {
			t.Errorf("%s after %s", p.State, time.Since(began))
		}
	})
}

// An offline approval is told as stored at once; while the wallet is connected
// it is given a moment to become approved (terminal.md).
func TestStoredBecomesApproved(t *testing.T) {
	for name, c := range map[string]struct {
		connected bool
		receipt   time.Duration // when it comes after the tap
		state     string
		took      time.Duration
	}{
		"connected":              {true, time.Second, "approved", 2 * time.Second},
		"connected, no receipt":  {true, time.Hour, "stored", time.Second + settleWait},
		"no wallet, told stored": {false, time.Second, "stored", time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, began := newShelf(), time.Now()
			s.status.Wallet.Connected = c.connected
			go func() {
				time.Sleep(time.Second)
				s.move(func(p *terminal.Payment) { p.State, p.Settlement = terminal.Stored, terminal.Queued })
				time.Sleep(c.receipt)
				s.move(func(p *terminal.Payment) { p.State, p.Settlement = terminal.Approved, terminal.Settled })
			}()
			_, raw := call(t, Handler("test", s, s, s), "POST", "/v1/payments", order, "Prefer", "wait=60")
			if p := decode[Payment](t, raw); p.State != c.state || time.Since(began) != c.took {
				t.Errorf("%s: %s after %s", name, p.State, time.Since(began))
			}
			time.Sleep(2 * time.Hour) // the wallet's answer comes to an end
		})
	}
}

// A long poll answers at the next change.
func TestGetWaitsForTheNextRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := newShelf(), time.Now()
		h := Handler("test", s, s, s)
		_, raw := call(t, h, "POST", "/v1/payments", order)
		id := decode[Payment](t, raw).ID
		go func() {
			time.Sleep(3 * time.Second)
			s.move(func(p *terminal.Payment) { p.State = terminal.Reading })
		}()
		_, raw = call(t, h, "GET", "/v1/payments/"+id+"?revision=1", "", "Prefer", "wait=20")
		if p := decode[Payment](t, raw); p.State != "reading" || time.Since(began) != 3*time.Second {
			t.Errorf("%s after %s", p.State, time.Since(began))
		}
		_, raw = call(t, h, "GET", "/v1/payments/"+id+"?revision=2", "")
		if p := decode[Payment](t, raw); p.Revision != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("without a wish to wait: revision %d after %s", p.Revision, time.Since(began))
		}
	})
}

// A deadline for reading the body must not end a request that waits for its
// outcome: net/http takes it for a caller that has gone.
func TestWaitOutlivesTheBodyDeadline(t *testing.T) {
	if testing.Short() {
		t.Skip("waits longer than the HTTP library's deadline of five seconds")
	}
	t.Parallel()
	client := serveShelf(t, newShelf())
	const wait = 6 * time.Second
	began := time.Now()
	p, err := ask[Payment](t.Context(), client, "POST", "/v1/payments", http.Header{"Prefer": {"wait=6"}}, json.RawMessage(order))
	if took := time.Since(began); err != nil || p.State != "awaiting_tap" || took < wait || took > wait+3*time.Second {
		t.Errorf("%s, %v after %s, want %s", p.State, err, took, wait)
	}
}

// A caller that says nothing, or stops in the middle, is told and let go.
func TestSlowCallersEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the read deadline of ten seconds")
	}
	t.Parallel()
	client := serveShelf(t, newShelf())
	conn, err := net.Dial("unix", client.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(2*headerTimeout + 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(raw), " 408 ") || !strings.Contains(string(raw), "request_timeout") {
		t.Errorf("%v: %s", err, raw)
	}
}

// Stopping does not wait for callers that wait for an outcome.
func TestStopIsBounded(t *testing.T) {
	s := newShelf()
	path := filepath.Join(t.TempDir(), "till.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, Handler("test", s, s, s)) }()
	client := NewClient(path)
	p, err := client.Open(t.Context(), OpenRequest{AmountMinor: 1, Currency: "CNY", OrderRef: "1"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := client.Get(t.Context(), p.ID, p.Revision, time.Minute)
		got <- err
	}()
	time.Sleep(50 * time.Millisecond) // let it wait
	began := time.Now()
	stop()
	if err := <-done; err != nil || time.Since(began) > stopTimeout+time.Second {
		t.Errorf("stopped with %v after %s", err, time.Since(began))
	}
	if err := <-got; err != nil {
		t.Errorf("the waiting caller heard %v, want the payment as it is", err)
	}
	if _, err := client.Status(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("after the stop: %v", err)
	}
}

// A stale socket is replaced; one in use, or what is no socket, is not touched.
func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "till.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l, err := Listen(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("a socket in use: %v", err)
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first listener lost its socket: %v", err)
	} else {
		conn.Close()
	}
	l.Close()
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil {
		t.Error("listened on a file")
	}
	if raw, err := os.ReadFile(file); err != nil || string(raw) != "x" {
		t.Errorf("the file: %q %v", raw, err)
	}
}

// The client returns refusals as problems, and says when nobody answers.
func TestClient(t *testing.T) {
	s := newShelf()
	client := serveShelf(t, s)
	ctx := t.Context()
	if _, err := client.Get(ctx, "nonsense/../..", 0, 0); problemCode(err) != "payment_not_found" {
		t.Errorf("an id with slashes: %v", err)
	}
	if _, err := client.Reconcile(ctx, "2026-11-24"); problemCode(err) != "wallet_unreachable" {
		t.Errorf("reconcile: %v", err)
	}
	if _, err := client.Open(ctx, OpenRequest{Currency: "CNY", OrderRef: "1"}); problemCode(err) != "validation" || !strings.Contains(err.Error(), "amount_minor") {
		t.Errorf("open: %v", err)
	}
	p, err := client.Open(ctx, OpenRequest{Key: "k", AmountMinor: 5, Currency: "CNY", OrderRef: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = client.Cancel(ctx, p.ID); err != nil || p.State != "cancelled" {
		t.Errorf("cancel: %v %v", p.State, err)
	}
	if list, err := client.Order(ctx, "1"); err != nil || len(list) != 1 {
		t.Errorf("order: %v %v", list, err)
	}
	if x, err := client.Trace(ctx, p.ID); err != nil || len(x) != 1 || x[0].Took != time.Millisecond {
		t.Errorf("trace: %v %v", x, err)
	}
	cancelled, stop := context.WithCancel(ctx)
	stop()
	if _, err := client.Status(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
	if _, err := NewClient(filepath.Join(t.TempDir(), "none")).Status(ctx); !errors.Is(err, ErrNoDaemon) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
}

// An answer that is not ours is an error, not a payment.
func TestClientReadsStrangers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"not JSON":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"bare error":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"other error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusConflict) },
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: answer, ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(l) }()
		if _, err := NewClient(path).Status(t.Context()); err == nil || problemCode(err) != "" {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

func problemCode(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// Asking for the outcome of a payment that is there waits as its opening would.
func TestGetWaitsForTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := newShelf(), time.Now()
		h := Handler("test", s, s, s)
		_, raw := call(t, h, "POST", "/v1/payments", order)
		id := decode[Payment](t, raw).ID
		go func() {
			time.Sleep(2 * time.Second)
			s.move(func(p *terminal.Payment) { p.State = terminal.Reading })
			time.Sleep(2 * time.Second)
			s.move(func(p *terminal.Payment) { p.State = terminal.Declined })
		}()
		_, raw = call(t, h, "GET", "/v1/payments/"+id+"?outcome=true", "", "Prefer", "wait=20")
		if p := decode[Payment](t, raw); p.State != "declined" || time.Since(began) != 4*time.Second {
			t.Errorf("%s after %s", p.State, time.Since(began))
		}
	})
}
