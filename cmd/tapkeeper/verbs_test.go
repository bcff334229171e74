package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/till"
)

// pay runs the verb with a phone that is held to the reader meanwhile.
func (s *shop) pay(who lanetest.Person, args ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	if err := s.Field.Present(s.Phones[who.ID].Ready()); err != nil {
		s.t.Fatal(err)
	}
	defer s.Field.Remove()
	return s.tool(append([]string{"pay"}, args...)...)
}

// A cashier's day: each verb tells what happened, in both languages, and as JSON.
func TestVerbs(t *testing.T) {
	s := openShop(t)
	status, out, problems := s.pay(rich, "12.50", "--order", "1001")
	if status != exitOK || problems != "" || !strings.Contains(out, "¥12.50  order 1001") ||
		!strings.Contains(out, "支付成功 / Approved") || !strings.Contains(out, "state approved, settlement settled, PAID") {
		t.Errorf("pay: %d\n%s%s", status, out, problems)
	}
	status, out, problems = s.pay(poor, "260", "--order", "1002")
	if status != exitUnexpected || problems != "" || !strings.Contains(out, "reason 02 (wallet): 余额不足 / Insufficient balance") {
		t.Errorf("a decline: %d\n%s%s", status, out, problems)
	}
	status, out, _ = s.pay(rich, "3", "--order", "1003", "--json")
	var p till.Payment
	if err := json.Unmarshal([]byte(out), &p); err != nil || status != exitOK || p.State != "approved" || p.AmountMinor != 3_00 {
		t.Errorf("pay --json: %d %v\n%s", status, err, out)
	}
	// The paid order again: the same payment, no phone needed.
	status, out, _ = s.tool("pay", "3", "--order", "1003")
	if status != exitOK || !strings.Contains(out, p.ID) {
		t.Errorf("the paid order again: %d\n%s", status, out)
	}
	s.trace(p.ID)
	s.reports()
	if got := s.spent(); got != 15_50 {
		t.Errorf("the ledger took %d", got)
	}
	if log := s.log.String(); strings.Contains(log, `"level":"error"`) {
		t.Errorf("errors in the log:\n%s", log)
	}
}

// trace looks at the dialogue of a tap, which must be masked.
func (s *shop) trace(id string) {
	status, out, _ := s.tool("show", id, "--trace")
	if status != exitOK || strings.Count(out, "> ") < 6 || strings.Count(out, "< ") < 6 {
		s.t.Errorf("show --trace: %d\n%s", status, out)
	}
	status, out, _ = s.tool("show", id, "--trace", "--json")
	var exchanges []terminal.Exchange
	if err := json.Unmarshal([]byte(out), &exchanges); err != nil || status != exitOK || len(exchanges) < 6 {
		s.t.Errorf("show --trace --json: %d %v\n%s", status, err, out)
	}
}

func (s *shop) reports() {
	status, out, problems := s.tool("recon")
	if status != exitOK || problems != "" || !strings.Contains(out, "MATCH") || !strings.Contains(out, "¥15.50") {
		s.t.Errorf("recon: %d\n%s%s", status, out, problems)
	}
	status, out, _ = s.tool("recon", "--json")
	var books []terminal.Reconciliation
	if err := json.Unmarshal([]byte(out), &books); err != nil || status != exitOK || len(books) != 1 || !books[0].Match {
		s.t.Errorf("recon --json: %d %v\n%s", status, err, out)
	}
	// This machine's clock may be synchronised or not; the wallet's time stands in for it.
	status, out, problems = s.tool("status")
	if status != exitOK || problems != "" || !strings.Contains(out, "tea-house/till-1") || !strings.Contains(out, "connected (mqtt://") {
		s.t.Errorf("status: %d\n%s%s", status, out, problems)
	}
	status, out, _ = s.tool("show", "--day", books[0].Day)
	if status != exitOK || strings.Count(out, "payment ") != 3 {
		s.t.Errorf("show --day: %d\n%s", status, out)
	}
	status, out, _ = s.tool("show", "--day", "2001-01-01")
	if status != exitOK || out != "no payments\n" {
		s.t.Errorf("a day without payments: %d %q", status, out)
	}
}

// Without the network the shop stays open, and the books close when it is back.
func TestOfflineVerbs(t *testing.T) {
	s := openShop(t)
	s.network(false)
	status, out, _ := s.pay(rich, "18", "--order", "1001")
	if status != exitOK || !strings.Contains(out, "Approved offline, not yet settled") || !strings.Contains(out, "state stored, settlement queued\n") {
		t.Errorf("pay: %d\n%s", status, out)
	}
	status, out, _ = s.tool("queue")
	if status != exitOK || !strings.HasPrefix(out, "1 waiting, 0 parked\n") || !strings.Contains(out, "advice") {
		t.Errorf("queue: %d\n%s", status, out)
	}
	status, _, problems := s.tool("recon")
	if status != exitUnavailable || !strings.HasPrefix(problems, "error: ") || !strings.Contains(problems, "\nhint: ") {
		t.Errorf("recon: %d\n%s", status, problems)
	}
	status, _, problems = s.pay(rich, "5", "--order", "1002", "--offline", "never")
	if status != exitUnexpected || problems != "" {
		t.Errorf("never offline: %d\n%s", status, problems)
	}
	if got := s.spent(); got != 0 {
		t.Errorf("the ledger took %d", got)
	}
	s.network(true)
	s.until("the outbox is empty", func(st till.Status) bool { return st.Waiting == 0 })
	if status, out, problems = s.tool("recon"); status != exitOK || !strings.Contains(out, "MATCH") {
		t.Errorf("recon: %d\n%s%s", status, out, problems)
	}
	if got := s.spent(); got != 18_00 {
		t.Errorf("the ledger took %d", got)
	}
}

// An interrupted pay cancels its payment.
func TestInterruptCancels(t *testing.T) {
	s := openShop(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var out, problems bytes.Buffer
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"--socket", s.socket, "pay", "5", "--order", "1001"}, &out, &problems)
	}()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if _, err := s.client.Order(t.Context(), "1001"); err == nil {
			break
		}
	}
	interrupt()
	if got := <-status; got != exitUnexpected || problems.Len() > 0 || !strings.Contains(out.String(), "已取消 / Cancelled") {
		t.Errorf("%d\n%s%s", got, &out, &problems)
	}
	if list, err := s.client.Order(t.Context(), "1001"); err != nil || len(list) != 1 || list[0].State != "cancelled" {
		t.Errorf("the payment: %+v, %v", list, err)
	}
}
