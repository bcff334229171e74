package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/lane"
	"tapkeeper/lane/lanetest"
	"tapkeeper/till"
	"tapkeeper/uplink/wire/wiretest"
)

var (
	rich = lanetest.Person{ID: "li-lei", Name: "Li Lei", BalanceMinor: 2000_00, Digits: [2]byte{0x43, 0x21}}
	poor = lanetest.Person{ID: "han-meimei", Name: "Han Meimei", BalanceMinor: 30_00, Digits: [2]byte{0x87, 0x65}}
)

// shop is a whole store with the daemon in this process.
type shop struct {
	*lanetest.Store
	t      *testing.T
	client *till.Client
	socket string
	log    *safeBuffer
	stop   func()
}

// openShop opens a store whose wallet is connected and whose reader is ready.
func openShop(t *testing.T) *shop {
	t.Helper()
	s := furnishShop(t)
	s.start(s.Config())
	s.until("phones can be tapped", func(st till.Status) bool { return st.Reader.Ready })
	return s
}

// furnishShop makes a store without a daemon.
func furnishShop(t *testing.T) *shop {
	t.Helper()
	dir, err := os.MkdirTemp("", "shop") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	store, err := lanetest.Open(t.Context(), lanetest.Options{
		Dir: dir, People: []lanetest.Person{rich, poor}, Limits: lanetest.Limits{SumMinor: 100_00, DeviceMinor: 100_00},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Watch(wiretest.Watch(t)); err != nil {
		t.Fatal(err)
	}
	s := &shop{Store: store, t: t, socket: filepath.Join(dir, "till.sock"), log: &safeBuffer{}}
	t.Cleanup(func() {
		s.stop()
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", s.log)
		}
	})
	s.stop = func() {}
	s.client = till.NewClient(s.socket)
	return s
}

// start starts the daemon; it replaces stop.
func (s *shop) start(settings lane.Config) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg := config{Till: tillConfig{Socket: s.socket}, Config: settings}
	go func() { done <- serve(ctx, cfg, zerolog.New(s.log)) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("the daemon ended with %v", err)
		}
	})
	s.until("the wallet is connected", func(st till.Status) bool { return st.Wallet.Connected })
}

func (s *shop) until(what string, ok func(till.Status) bool) {
	s.t.Helper()
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if st, err := s.client.Status(s.t.Context()); err == nil && ok(st) {
			return
		}
	}
	s.t.Fatalf("waited in vain until %s\n%s", what, s.log)
}

// network connects or cuts the way to the wallet.
func (s *shop) network(on bool) {
	s.t.Helper()
	if err := s.Network.Refuse(!on); err != nil {
		s.t.Fatal(err)
	}
	s.until("the link follows", func(st till.Status) bool { return st.Wallet.Connected == on && st.Wallet.Up == on })
}

// open opens a payment that must be there.
func (s *shop) open(r till.OpenRequest) till.Payment {
	s.t.Helper()
	p, err := s.client.Open(s.t.Context(), r)
	if err != nil {
		s.t.Fatalf("open order %s: %v", r.OrderRef, err)
	}
	return p
}

// tap holds a phone to the reader until the payment has an outcome.
func (s *shop) tap(who lanetest.Person, p till.Payment) till.Payment {
	s.t.Helper()
	if err := s.Field.Present(s.Phones[who.ID].Ready()); err != nil {
		s.t.Fatal(err)
	}
	defer s.Field.Remove()
	return s.follow(p)
}

func (s *shop) follow(p till.Payment) till.Payment {
	s.t.Helper()
	p, err := followPayment(s.t.Context(), s.client, p, func(till.Payment) {})
	if err != nil {
		s.t.Fatalf("follow %s: %v", p.ID, err)
	}
	return p
}

// tool runs the command line tool as its user does.
func (s *shop) tool(args ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	var out, problems bytes.Buffer
	status = run(s.t.Context(), append([]string{"--socket", s.socket}, args...), &out, &problems)
	return status, out.String(), problems.String()
}

// spent is what the ledger has taken, which both of its sides must agree on.
func (s *shop) spent() int64 {
	s.t.Helper()
	m, err := s.Money(context.Background())
	if err != nil || m.SpentMinor != m.ClaimMinor {
		s.t.Fatalf("the ledger: %+v, %v", m, err)
	}
	return m.SpentMinor
}

// code is why a request was refused.
func code(err error) string {
	var p *till.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

func cny(order string, minor int64) till.OpenRequest {
	return till.OpenRequest{AmountMinor: minor, Currency: "CNY", OrderRef: order}
}

// safeBuffer is a buffer that a daemon writes while a test reads it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
