package main

import (
	"encoding/json"
	"strings"
	"testing"

	"tapkeeper/till"
)

// The cashier gives money back: a part, the same part again after a lost answer,
// the rest; and too much only with a manager.
func TestRefundVerb(t *testing.T) {
	s := openShop(t)
	_, out, _ := s.pay(rich, "12.50", "--order", "1001", "--json")
	var p till.Payment
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	refund := func(args ...string) (int, string, string) {
		return s.tool(append([]string{"refund", p.ID}, args...)...)
	}
	status, first, problems := refund("4.50")
	if status != exitOK || problems != "" || !strings.Contains(first, "¥4.50") || !strings.Contains(first, "已退款 / Refunded") {
		t.Errorf("a part: %d\n%s%s", status, first, problems)
	}
	if status, again, _ := refund("4.50"); status != exitOK || again != first {
		t.Errorf("the same again: %d\n%s", status, again)
	}
	if got := s.spent(); got != 8_00 {
		t.Errorf("the ledger has %d", got)
	}
	if status, _, problems := refund("9"); status == exitOK || !strings.Contains(problems, "at most 800") {
		t.Errorf("more than is left: %d\n%s", status, problems)
	}
	if status, _, problems := refund("0"); status != exitUsage {
		t.Errorf("nothing: %d\n%s", status, problems)
	}
	if status, out, _ := refund(); status != exitOK || !strings.Contains(out, "¥8.00") {
		t.Errorf("the rest: %d\n%s", status, out)
	}
	if got := s.spent(); got != 0 {
		t.Errorf("the ledger has %d", got)
	}
	if _, out, _ := s.tool("show", p.ID); !strings.Contains(out, "REFUNDED") || !strings.Contains(out, "已全额退款 / Refunded in full") {
		t.Errorf("show:\n%s", out)
	}

	_, out, _ = s.pay(rich, "600", "--order", "1002", "--json")
	if err := json.Unmarshal([]byte(out), &p); err != nil || p.State != "approved" {
		t.Fatalf("%v in %s", err, out)
	}
	if status, _, problems := refund(); status == exitOK || !strings.Contains(problems, "manager") {
		t.Errorf("above a cashier's limit: %d\n%s", status, problems)
	}
	if status, out, problems := refund("--manager"); status != exitOK { // the tests are the daemon's own user
		t.Errorf("with a manager: %d\n%s%s", status, out, problems)
	}
	if status, out, _ := s.tool("recon"); status != exitOK || !strings.Contains(out, "MATCH") {
		t.Errorf("recon: %d\n%s", status, out)
	}
}
