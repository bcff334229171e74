package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tapkeeper/till"
)

// The same key with the same body is the same payment, before and after its
// outcome and after a restart; with another body it is refused and moves nothing (I13).
func TestSameKeySamePayment(t *testing.T) {
	s := openShop(t)
	request := cny("1001", 12_50)
	request.Key = "till-7/42"
	first := s.open(request)
	if again := s.open(request); again.ID != first.ID || again.State != "awaiting_tap" {
		t.Errorf("while it waits: %+v", again)
	}
	if p := s.tap(rich, first); p.State != "approved" || p.End != "PAID" {
		t.Fatalf("the tap came to %s %s", p.State, p.End)
	}
	check := func(when string) {
		if p := s.open(request); p.ID != first.ID || p.State != "approved" {
			t.Errorf("%s: %s %s, want %s approved", when, p.ID, p.State, first.ID)
		}
		for name, change := range map[string]func(*till.OpenRequest){
			"amount": func(r *till.OpenRequest) { r.AmountMinor++ }, "order": func(r *till.OpenRequest) { r.OrderRef = "1002" },
			"offline": func(r *till.OpenRequest) { r.Offline = "never" },
		} {
			other := request
			change(&other)
			if _, err := s.client.Open(t.Context(), other); code(err) != "idempotency_key_reused" {
				t.Errorf("%s, other %s: %v", when, name, err)
			}
		}
		other := request
		other.Key = "till-7/43"
		if _, err := s.client.Open(t.Context(), other); code(err) != "order_already_paid" {
			t.Errorf("%s, another key for the paid order: %v", when, err)
		}
	}
	check("after the outcome")
	s.stop()
	s.start(s.Config())
	check("after a restart")
	if got := s.spent(); got != 12_50 {
		t.Errorf("the ledger took %d", got)
	}
	if _, err := s.client.Order(t.Context(), "1002"); code(err) != "payment_not_found" {
		t.Errorf("a refused request left a payment: %v", err)
	}
}

// The same order from many tills at once is one payment, paid once.
func TestSameOrderAtOnce(t *testing.T) {
	s := openShop(t)
	ids := make([]string, 12)
	var asking sync.WaitGroup
	for i := range ids {
		asking.Go(func() {
			p, err := till.NewClient(s.socket).Open(t.Context(), cny("1001", 5_00))
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			ids[i] = p.ID
		})
	}
	asking.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several payments: %v", ids)
		}
	}
	p, err := s.client.Get(t.Context(), ids[0], 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p = s.tap(rich, p); p.State != "approved" {
		t.Errorf("came to %s", p.State)
	}
	list, err := s.client.Order(t.Context(), "1001")
	if err != nil || len(list) != 1 || s.spent() != 5_00 {
		t.Errorf("%d payments, ledger %d, %v", len(list), s.spent(), err)
	}
	if _, err := s.client.Open(t.Context(), cny("1001", 6_00)); code(err) != "idempotency_key_reused" {
		t.Errorf("the paid order with another amount: %v", err)
	}
}

// After a decline the order can be paid, as a second attempt that names the first.
func TestSecondAttempt(t *testing.T) {
	s := openShop(t)
	first := s.tap(poor, s.open(cny("1001", 260_00)))
	if first.State != "declined" || first.End != "NOT PAID" || first.Reason == nil || first.Reason.ID != "02" {
		t.Fatalf("the first attempt: %+v", first)
	}
	second := s.open(cny("1001", 260_00))
	if second.ID == first.ID || second.Attempt != 2 || second.Previous != first.ID {
		t.Fatalf("the second attempt: %+v", second)
	}
	if second = s.tap(rich, second); second.State != "approved" || second.Previous != first.ID {
		t.Errorf("the second attempt came to %+v", second)
	}
	status, out, _ := s.tool("show", "--order", "1001")
	for _, want := range []string{first.ID, second.ID, "attempt 1", "attempt 2", "余额不足 / Insufficient balance", "NOT PAID", ", PAID"} {
		if status != exitOK || !strings.Contains(out, want) {
			t.Errorf("show, status %d, has no %q:\n%s", status, want, out)
		}
	}
	if got := s.spent(); got != 260_00 {
		t.Errorf("the ledger took %d", got)
	}
}

// A waiting payment is cancelled at once; its reader is free for the next. One
// whose phone was asked to pay is not, and its outcome stands.
func TestCancel(t *testing.T) {
	s := openShop(t)
	p := s.open(cny("1001", 5_00))
	if _, err := s.client.Open(t.Context(), cny("1002", 5_00)); code(err) != "reader_busy" || !strings.Contains(err.Error(), p.ID) {
		t.Errorf("another order meanwhile: %v", err)
	}
	p, err := s.client.Cancel(t.Context(), p.ID)
	if err != nil || p.State != "cancelled" || p.End != "NOT PAID" {
		t.Fatalf("cancel: %+v, %v", p, err)
	}
	if again, err := s.client.Cancel(t.Context(), p.ID); err != nil || again.Revision != p.Revision {
		t.Errorf("cancelled again: %+v, %v", again, err)
	}

	p = s.open(cny("1001", 5_00))
	var late error
	phone := s.Phones[rich.ID].Watched(func() (leave bool) {
		_, late = s.client.Cancel(t.Context(), p.ID)
		return false
	})
	if err := s.Field.Present(phone); err != nil {
		t.Fatal(err)
	}
	defer s.Field.Remove()
	if p = s.follow(p); p.State != "approved" || code(late) != "not_cancelable" {
		t.Errorf("came to %s, the late cancel heard %v", p.State, late)
	}
	if _, err := s.client.Cancel(t.Context(), p.ID); err != nil {
		t.Errorf("a cancel after the end tells the end: %v", err)
	}
	if got := s.spent(); got != 5_00 {
		t.Errorf("the ledger took %d", got)
	}
}

// A till that loses the answer finds its payment by the order, or by asking again.
func TestLostAnswer(t *testing.T) {
	s := openShop(t)
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"amount_minor":750,"currency":"CNY","order_ref":"1001"}`
	fmt.Fprintf(conn, "POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nPrefer: wait=60\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	var found []till.Payment
	for until := time.Now().Add(10 * time.Second); len(found) == 0 && time.Now().Before(until); {
		found, _ = s.client.Order(t.Context(), "1001")
	}
	conn.Close() // the till dies while it waits
	if len(found) != 1 || found[0].State != "awaiting_tap" {
		t.Fatalf("by its order: %+v", found)
	}
	if again := s.open(cny("1001", 7_50)); again.ID != found[0].ID {
		t.Errorf("asked again: %s, want %s", again.ID, found[0].ID)
	}
	if p := s.tap(rich, found[0]); p.State != "approved" {
		t.Errorf("came to %s", p.State)
	}
	if again := s.open(cny("1001", 7_50)); again.ID != found[0].ID || again.State != "approved" || s.spent() != 7_50 {
		t.Errorf("asked again after the tap: %+v, ledger %d", again, s.spent())
	}
}

// A simple till asks once, holds the line, and has the outcome; a decline is a
// 201 with a state.
func TestSimpleTill(t *testing.T) {
	s := openShop(t)
	for _, c := range []struct {
		who   string
		minor int
		state string
	}{{rich.ID, 1500, "approved"}, {poor.ID, 30000, "declined"}} {
		if err := s.Field.Present(s.Phones[c.who].Ready()); err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", s.socket) }}
		body := fmt.Sprintf(`{"amount_minor":%d,"currency":"CNY","order_ref":"for-%s"}`, c.minor, c.who)
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://till/v1/payments", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "wait=30")
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusCreated || !strings.Contains(string(raw), `"state":"`+c.state+`"`) {
			t.Errorf("%s: %s %s %v", c.who, res.Status, raw, err)
		}
		res.Body.Close()
		transport.CloseIdleConnections()
		s.Field.Remove()
	}
}
