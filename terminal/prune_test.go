package terminal_test

import (
	"errors"
	"testing"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
)

// Only finished payments of old days go, with everything that is kept of them.
func TestPrune(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	put := func(state terminal.State, settlement terminal.Settlement, day string) terminal.Payment {
		p := s.payment(state)
		p.Settlement, p.BusinessDay = settlement, day
		id := p.ID.String()
		key, err := terminal.AskedJSON(p.ID)
		if err != nil {
			t.Fatal(err)
		}
		err = s.terminal.Put(&p, terminal.Record{Kind: "record", Key: id, Value: []byte("r")}, terminal.Record{Kind: "trace", Key: id, Value: []byte("t")},
			terminal.Record{Kind: "receipt", Key: id + "/" + p.Request.String(), Value: []byte("w")}, terminal.Record{Kind: "idem", Key: "key-" + id, Value: key})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const old, day, young = "2025-10-19", "2025-10-20", "2025-10-20"
	goes := []terminal.Payment{
		put(terminal.Approved, terminal.Settled, old), put(terminal.Declined, terminal.NotSettled, old), put(terminal.Failed, terminal.Reversed, old),
	}
	owing := put(terminal.Approved, terminal.Settled, old)
	stays := []terminal.Payment{
		put(terminal.Approved, terminal.Settled, young), put(terminal.Stored, terminal.Queued, old), put(terminal.Stored, terminal.Rejected, old),
		put(terminal.Failed, terminal.Queued, old), put(terminal.Unknown, terminal.NotSettled, old), owing,
	}
	owes := func(id terminal.ID) bool { return id == owing.ID }
	events := len(s.journal.Events())
	n, err := s.terminal.Prune(t.Context(), day, owes)
	if n != len(goes) || err != nil {
		t.Fatalf("pruned %d, %v, want %d", n, err, len(goes))
	}
	if got := len(s.journal.Events()); got != events+n {
		t.Errorf("%d events, want %d: one commit a payment, and none goes", got, events+n)
	}
	records := func(p terminal.Payment) (n int) {
		for _, at := range [][2]string{
			{"payment", p.ID.String()}, {"record", p.ID.String()}, {"trace", p.ID.String()}, {"receipt", p.ID.String() + "/" + p.Request.String()},
			{"idem", "key-" + p.ID.String()}, {"order", p.OrderRef}, {"day-" + p.BusinessDay, p.ID.String()},
		} {
			if _, ok, _ := s.journal.Get(at[0], at[1]); ok {
				n++
			}
		}
		return n
	}
	for _, p := range goes {
		if left := records(p); left != 0 {
			t.Errorf("%s %s: %d records are left", p.State, p.Settlement, left)
		}
	}
	for _, p := range stays {
		if left := records(p); left != 7 {
			t.Errorf("%s %s: %d records of 7 are left", p.State, p.Settlement, left)
		}
	}
	if n, err := s.terminal.Prune(t.Context(), day, owes); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	var wrong *terminal.RequestError
	if _, err := s.terminal.Prune(t.Context(), "yesterday", owes); !errors.As(err, &wrong) {
		t.Errorf("a day that is none: %v", err)
	}
}

// An order goes as a whole: while its last payment stays, so does its first.
func TestPruneKeepsOrders(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	first, last := s.payment(terminal.Declined), s.payment(terminal.Approved)
	first.BusinessDay, last.BusinessDay, last.Settlement, last.OrderRef = "2025-01-01", "2025-03-01", terminal.Settled, first.OrderRef
	for _, p := range []*terminal.Payment{&first, &last} {
		if err := s.terminal.Put(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.terminal.PutRecord("order", first.OrderRef, []byte(`["`+first.ID.String()+`","`+last.ID.String()+`"]`)); err != nil {
		t.Fatal(err)
	}
	none := func(terminal.ID) bool { return false }
	for _, step := range []struct {
		before string
		want   int
	}{{"2025-02-01", 0}, {"2025-04-01", 2}} {
		if n, err := s.terminal.Prune(t.Context(), step.before, none); n != step.want || err != nil {
			t.Errorf("before %s: %d, %v, want %d", step.before, n, err, step.want)
		}
	}
	if _, ok, _ := s.journal.Get("order", first.OrderRef); ok {
		t.Error("the order is left")
	}
}

// Payments that cannot go yet, however many, do not keep younger ones from going.
func TestPruneLooksBehind(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	const stuck = 5000
	put := func(order string) terminal.Payment {
		p := s.payment(terminal.Declined)
		p.OrderRef, p.BusinessDay = order, "2025-01-01"
		if err := s.terminal.Put(&p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for range stuck {
		put("open")
	}
	open := s.payment(terminal.Approved) // the last of that order, and of today
	if err := s.terminal.PutRecord("order", "open", []byte(`["`+open.ID.String()+`"]`)); err != nil {
		t.Fatal(err)
	}
	goes := put("closed")
	if n, err := s.terminal.Prune(t.Context(), "2025-02-01", func(terminal.ID) bool { return false }); n != 1 || err != nil {
		t.Errorf("pruned %d, %v, want the one behind %d", n, err, stuck)
	}
	if _, ok, _ := s.journal.Get("payment", goes.ID.String()); ok {
		t.Error("it is still there")
	}
}
