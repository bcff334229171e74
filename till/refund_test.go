package till

import (
	"context"
	"net/http"
	"strconv"
	"testing"

	"tapkeeper/terminal"
)

// till side of refunds: what is asked of the terminal, and what is refused here.
type refunding struct {
	*shelf
	asked []terminal.RefundRequest
}

func (r *refunding) Refund(_ context.Context, req terminal.RefundRequest) (terminal.Refund, error) {
	r.asked = append(r.asked, req)
	back := terminal.Refund{ID: terminal.ID{7}, AmountMinor: 100, State: terminal.RefundDone}
	r.move(func(p *terminal.Payment) { p.Refunds = append(p.Refunds, back) })
	return back, nil
}

func TestRefundRoutes(t *testing.T) {
	s := &refunding{shelf: newShelf()}
	h := Handler("test", s, s, s)
	_, raw := call(t, h, "POST", "/v1/payments", order)
	path := "/v1/payments/" + decode[Payment](t, raw).ID
	res, raw := call(t, h, "POST", path+"/refunds", `{"amount_minor":100}`, "Idempotency-Key", "k")
	if r := decode[Refund](t, raw); res.StatusCode != http.StatusCreated || r.State != "refunded" || r.AmountMinor != 100 || r.Currency != "CNY" {
		t.Errorf("%s: %s", res.Status, raw)
	}
	if len(s.asked) != 1 || s.asked[0].Key != "k" || s.asked[0].AmountMinor != 100 || s.asked[0].Manager {
		t.Errorf("asked %+v", s.asked)
	}
	// Nobody is at the other end of this connection: no manager either.
	res, raw = call(t, h, "POST", path+"/refunds", `{"manager":true}`, "Idempotency-Key", "k2")
	if p := decode[Problem](t, raw); res.StatusCode != http.StatusForbidden || p.Code != "manager_required" || len(s.asked) != 1 {
		t.Errorf("%s: %s", res.Status, raw)
	}
	_, raw = call(t, h, "GET", path+"/refunds", "")
	if l := decode[refundList](t, raw); len(l.Refunds) != 1 || l.RefundedMinor != 100 {
		t.Errorf("%s", raw)
	}
	for _, body := range []string{`{"amount_minor":0}`, `{"amount_minor":-5}`, `{"amount":5}`} {
		if res, raw := call(t, h, "POST", path+"/refunds", body, "Idempotency-Key", "k3"); res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s %s", body, res.Status, raw)
		}
	}
}

// A cancel compares before it acts; a stored payment goes back only for a till
// that has seen it stored.
func TestCancelCompares(t *testing.T) {
	s := &refunding{shelf: newShelf()}
	h := Handler("test", s, s, s)
	_, raw := call(t, h, "POST", "/v1/payments", order)
	path := "/v1/payments/" + decode[Payment](t, raw).ID + "/cancel"
	for _, body := range []string{`{"order_ref":"of another till"}`, `{"revision":9}`} {
		if res, raw := call(t, h, "POST", path, body); res.StatusCode != http.StatusConflict || decode[Problem](t, raw).Code != "not_cancelable" {
			t.Errorf("%s: %s %s", body, res.Status, raw)
		}
	}
	s.move(func(p *terminal.Payment) { p.State, p.Settlement, p.Revision = terminal.Stored, terminal.Queued, 4 })
	if call(t, h, "POST", path, ""); len(s.asked) != 0 {
		t.Error("a stored payment was taken back by a till that had not seen it so")
	}
	s.move(func(p *terminal.Payment) { p.State, p.Settlement, p.Revision = terminal.Stored, terminal.Queued, 7 })
	_, raw = call(t, h, "GET", path[:len(path)-len("/cancel")], "")
	revision := decode[Payment](t, raw).Revision
	res, raw := call(t, h, "POST", path, `{"revision":`+strconv.Itoa(revision)+`}`)
	if res.StatusCode != http.StatusOK || len(s.asked) != 1 || s.asked[0].AmountMinor != 0 {
		t.Errorf("%s %s; asked %+v", res.Status, raw, s.asked)
	}
}
