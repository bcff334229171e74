package till

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tapkeeper/terminal"
)

// shelf keeps payments in memory and lets a test move them. It stands for a
// terminal: one payment an order, whose changes can be waited for.
type shelf struct {
	mu       sync.Mutex
	payments []terminal.Payment
	changed  chan struct{}
	refuse   error // what Open and Cancel answer instead
	status   Status
	acts     []string // what was done to the journal
}

func newShelf() *shelf { return &shelf{changed: make(chan struct{})} }

func (s *shelf) Open(_ context.Context, r terminal.Request) (terminal.Payment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return terminal.Payment{}, s.refuse
	}
	for _, p := range s.payments {
		if p.OrderRef == r.OrderRef {
			return p, nil
		}
	}
	p := terminal.Payment{
		ID: terminal.ID{1, 15: byte(len(s.payments) + 1)}, OrderRef: r.OrderRef, Attempt: 1, AmountMinor: r.AmountMinor, Currency: r.Currency,
		Offline: r.Offline, State: terminal.AwaitingTap, Settlement: terminal.NotSettled, Hint: terminal.HintPresentPhone,
		Revision: 1, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(r.ExpiresIn),
	}
	s.payments = append(s.payments, p)
	return p, nil
}

// move changes the only payment and wakes who waits for it.
func (s *shelf) move(change func(*terminal.Payment)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.payments[0])
	s.payments[0].Revision++
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *shelf) find(id terminal.ID) (terminal.Payment, chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.payments {
		if p.ID == id {
			return p, s.changed, nil
		}
	}
	return terminal.Payment{}, nil, terminal.ErrNotFound
}

func (s *shelf) Wait(ctx context.Context, id terminal.ID, revision int) (terminal.Payment, error) {
	for {
		p, changed, err := s.find(id)
		if err != nil || p.Revision > revision {
			return p, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return p, nil
		}
	}
}

func (s *shelf) Cancel(_ context.Context, id terminal.ID) (terminal.Payment, error) {
	if s.refuse != nil {
		return terminal.Payment{}, s.refuse
	}
	if _, _, err := s.find(id); err != nil {
		return terminal.Payment{}, err
	}
	s.move(func(p *terminal.Payment) { p.State = terminal.Cancelled })
	p, _, err := s.find(id)
	return p, err
}

func (s *shelf) Refund(context.Context, terminal.RefundRequest) (terminal.Refund, error) {
	return terminal.Refund{}, terminal.ErrNotPaid
}

func (s *shelf) Order(ref string) ([]terminal.Payment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []terminal.Payment
	for _, p := range s.payments {
		if p.OrderRef == ref {
			found = append(found, p)
		}
	}
	if found == nil {
		return nil, terminal.ErrNotFound
	}
	return found, nil
}

func (s *shelf) Day(string) ([]terminal.Payment, error) { return nil, nil }

func (s *shelf) Trace(terminal.ID) ([]terminal.Exchange, error) {
	return []terminal.Exchange{{Command: []string{"SELECT"}, Took: time.Millisecond}}, nil
}

func (s *shelf) Status(context.Context) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, nil
}

func (s *shelf) Queue(context.Context, string) (Queue, error) { return Queue{}, nil }

func (s *shelf) Reconcile(context.Context, string) ([]terminal.Reconciliation, error) {
	return nil, terminal.ErrWalletAway
}

// serveShelf serves a shelf on a real socket.
func serveShelf(t *testing.T, s *shelf) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "till.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, Handler("test", s, s, s)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return NewClient(path)
}

// call speaks to the handler as a program in any language would.
func call(t *testing.T, h http.Handler, method, path, body string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, raw
}

func decode[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}

func (s *shelf) Sync(context.Context) error { return s.refuse }

func (s *shelf) Hold(_ context.Context, id, reason, by string) error {
	s.acts = append(s.acts, "hold "+id+" for "+reason)
	return s.refuse
}

func (s *shelf) Release(_ context.Context, id, by string) error {
	s.acts = append(s.acts, "release "+id)
	return s.refuse
}

func (s *shelf) Verify(context.Context) (Verification, error) {
	return Verification{OK: true}, s.refuse
}

func (s *shelf) Key(context.Context) (MasterKey, error) {
	return MasterKey{Source: "file:/k"}, s.refuse
}

func (s *shelf) RotateKey(_ context.Context, by string) (MasterKey, error) {
	s.acts = append(s.acts, "rotate by "+by)
	return MasterKey{Source: "file:/k"}, s.refuse
}
