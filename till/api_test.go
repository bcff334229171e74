package till

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tapkeeper/terminal"
)

const order = `{"amount_minor":1250,"currency":"CNY","order_ref":"1001"}`

func TestOpenAnswersWithItsPlace(t *testing.T) {
	s := newShelf()
	h := Handler("test", s, s, s)
	res, raw := call(t, h, "POST", "/v1/payments", order)
	p := decode[Payment](t, raw)
	if res.StatusCode != http.StatusCreated || res.Header.Get("Location") != "/v1/payments/"+p.ID {
		t.Errorf("%s, Location %q", res.Status, res.Header.Get("Location"))
	}
	if res.Header.Get("Content-Language") != "zh-CN, en" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", res.Header)
	}
	if p.State != "awaiting_tap" || p.Hint != "present_phone" || s.payments[0].Offline != terminal.OfflineAllow {
		t.Errorf("payment %+v, offline %q", p, s.payments[0].Offline)
	}
	res, raw = call(t, h, "GET", "/v1/payments/"+p.ID, "")
	if got := decode[Payment](t, raw); res.StatusCode != http.StatusOK || got.ID != p.ID || res.Header.Get("Location") != "" {
		t.Errorf("%s: %s", res.Status, raw)
	}
	res, raw = call(t, h, "GET", "/v1/payments?order_ref=1001", "")
	if list := decode[paymentList](t, raw); res.StatusCode != http.StatusOK || len(list.Payments) != 1 {
		t.Errorf("the order's payments: %s %s", res.Status, raw)
	}
	res, raw = call(t, h, "GET", "/v1/payments?day=2026-11-24", "")
	if res.StatusCode != http.StatusOK || !strings.Contains(string(raw), `"payments":[]`) {
		t.Errorf("a day without payments: %s %s", res.Status, raw)
	}
}

// Whatever is refused, also by the HTTP library and the routing, has one form.
func TestEveryRefusalIsAProblem(t *testing.T) {
	s := newShelf()
	h := Handler("test", s, s, s)
	const unknown = "/v1/payments/01920000-0000-7000-8000-000000000000"
	long := `{"amount_minor":1,"currency":"CNY","order_ref":"` + strings.Repeat("x", maxBody) + `"}`
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		code, retry        string
		detail             string
	}{
		"not JSON":        {"POST", "/v1/payments", `{"amount_minor":`, nil, 400, "malformed", "fix", ""},
		"no body":         {"POST", "/v1/payments", "", nil, 400, "malformed", "fix", ""},
		"not an object":   {"POST", "/v1/payments", `[]`, nil, 422, "validation", "fix", "object"},
		"no amount":       {"POST", "/v1/payments", `{"currency":"CNY","order_ref":"1"}`, nil, 422, "validation", "fix", "amount_minor"},
		"a float":         {"POST", "/v1/payments", `{"amount_minor":12.5,"currency":"CNY","order_ref":"1"}`, nil, 422, "validation", "fix", "amount_minor"},
		"zero":            {"POST", "/v1/payments", `{"amount_minor":0,"currency":"CNY","order_ref":"1"}`, nil, 422, "validation", "fix", "amount_minor"},
		"unknown field":   {"POST", "/v1/payments", `{"amount_minor":1,"currency":"CNY","order_ref":"1","tip":1}`, nil, 422, "validation", "fix", "tip"},
		"currency":        {"POST", "/v1/payments", `{"amount_minor":1,"currency":"yuan","order_ref":"1"}`, nil, 422, "validation", "fix", "currency"},
		"too long":        {"POST", "/v1/payments", long, nil, 413, "too_large", "fix", ""},
		"a form":          {"POST", "/v1/payments", "amount_minor=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", "fix", ""},
		"no such path":    {"GET", "/v1/payment", "", nil, 404, "no_such_resource", "never", "/v1/payment"},
		"root":            {"GET", "/", "", nil, 404, "no_such_resource", "never", ""},
		"method":          {"DELETE", "/v1/payments", "", nil, 405, "method_not_allowed", "fix", "DELETE"},
		"unknown payment": {"GET", unknown, "", nil, 404, "payment_not_found", "never", ""},
		"not an id":       {"GET", "/v1/payments/1001", "", nil, 404, "payment_not_found", "never", ""},
		"cancel unknown":  {"POST", unknown + "/cancel", "", nil, 404, "payment_not_found", "never", ""},
		"unknown order":   {"GET", "/v1/payments?order_ref=1", "", nil, 404, "payment_not_found", "never", ""},
		"no question":     {"GET", "/v1/payments", "", nil, 422, "validation", "fix", "order_ref"},
		"two questions":   {"GET", "/v1/payments?order_ref=1&day=2026-11-24", "", nil, 422, "validation", "fix", "order_ref"},
		"revision":        {"GET", unknown + "?revision=x", "", nil, 422, "validation", "fix", "revision"},
		"wallet away":     {"POST", "/v1/days/2026-11-24/reconciliation", "", nil, 503, "wallet_unreachable", "later", ""},
	} {
		res, raw := call(t, h, c.method, c.path, c.body, c.header...)
		p := decode[Problem](t, raw)
		if res.StatusCode != c.status || p.Status != c.status || p.Code != c.code || p.Retry != c.retry {
			t.Errorf("%s: %s, %s", name, res.Status, raw)
		}
		if p.Hint == "" || p.Detail == "" || p.Type != "urn:tapkeeper:problem:"+p.Code || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: incomplete: %s", name, raw)
		}
		if res.Header.Get("Content-Type") != "application/problem+json" || res.Header.Get("Content-Language") != "en" {
			t.Errorf("%s: headers %v", name, res.Header)
		}
		if c.status == 405 && res.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", name)
		}
	}
	if len(s.payments) != 0 {
		t.Errorf("a refused request opened %d payments", len(s.payments))
	}
}

// What the terminal refuses has its own code, and says what to do next.
func TestTerminalRefusals(t *testing.T) {
	other := terminal.Payment{ID: terminal.ID{9}, OrderRef: "1001", State: terminal.Reading}
	paid := other
	paid.State = terminal.Approved
	for _, c := range []struct {
		err         error
		status      int
		code, retry string
		payment     bool
	}{
		{&terminal.BusyError{Payment: other.ID}, 409, "reader_busy", "cancel_or_wait", true},
		{&terminal.OrderError{Payment: other}, 409, "request_in_progress", "cancel_or_wait", true},
		{&terminal.OrderError{Payment: paid}, 409, "order_already_paid", "never", true},
		{&terminal.RequestError{Field: "currency", Want: "one"}, 422, "validation", "fix", false},
		{terminal.ErrKeyReused, 422, "idempotency_key_reused", "fix", false},
		{terminal.ErrTooLate, 409, "not_cancelable", "never", false},
		{terminal.ErrNotReady, 503, "starting", "later", false},
		{terminal.ErrNoField, 503, "reader_unavailable", "later", false},
		{terminal.ErrWalletAway, 503, "wallet_unreachable", "later", false},
		{terminal.ErrStorage, 503, "storage_failed", "later", false},
		{terminal.ErrUncertain, 503, "storage_failed", "same_key", false},
		{errors.New("key 4242 of badger"), 500, "internal", "later", false},
	} {
		s := newShelf()
		s.refuse = fmt.Errorf("open: %w", c.err)
		res, raw := call(t, Handler("test", s, s, s), "POST", "/v1/payments", order)
		p := decode[Problem](t, raw)
		if res.StatusCode != c.status || p.Code != c.code || p.Retry != c.retry || p.Hint == "" || (p.Payment != "") != c.payment {
			t.Errorf("%v: %s %s", c.err, res.Status, raw)
		}
		if c.code == "internal" && strings.Contains(string(raw), "badger") {
			t.Errorf("an internal error is told: %s", raw)
		}
	}
}

// A decline, an unknown outcome and a failure are states and never HTTP errors.
func TestOutcomesAreStates(t *testing.T) {
	for _, state := range []terminal.State{
		terminal.Created, terminal.AwaitingTap, terminal.Reading, terminal.Authorising, terminal.Unknown, terminal.Approved,
		terminal.Stored, terminal.Declined, terminal.Cancelled, terminal.Expired, terminal.Failed,
	} {
		s := newShelf()
		h := Handler("test", s, s, s)
		_, raw := call(t, h, "POST", "/v1/payments", order)
		id := decode[Payment](t, raw).ID
		s.move(func(p *terminal.Payment) { p.State, p.Settlement, p.Reason = state, terminal.Queued, 0x21 })
		for method, path := range map[string]string{"GET": "/v1/payments/" + id, "POST": "/v1/payments"} {
			res, raw := call(t, h, method, path, map[string]string{"POST": order}[method])
			p := decode[Payment](t, raw)
			if res.StatusCode >= 300 || p.State != string(state) || p.Words().ZH == "" || p.Words().EN == "" {
				t.Errorf("%s %s: %s %s", method, state, res.Status, raw)
			}
			if p.Reason == nil || p.Reason.ZH == "" || p.Reason.EN == "" || p.Reason.Side == "" || p.Reason.Retry == "" {
				t.Errorf("%s: reason %+v", state, p.Reason)
			}
			if p.Final() != state.Ended() {
				t.Errorf("%s: final %v", state, p.Final())
			}
		}
	}
}

// What is shown follows the money: nobody reads "approved" of what the wallet refused.
func TestWordsFollowTheSettlement(t *testing.T) {
	for _, c := range []struct {
		state      terminal.State
		settlement terminal.Settlement
		en         string
	}{
		{terminal.Stored, terminal.Queued, "Approved offline, not yet settled"},
		{terminal.Stored, terminal.Rejected, "Refused by the wallet afterwards, not paid"},
		{terminal.Stored, terminal.Reversed, "Reversed, not paid"},
		{terminal.Failed, terminal.NotSettled, "Failed, not paid"},
		{terminal.Failed, terminal.Queued, "Failed, not paid; a reversal is on its way"},
		{terminal.Failed, terminal.Reversed, "Failed, not paid; the wallet confirmed the reversal"},
		{terminal.Failed, terminal.Rejected, "Failed, the reversal was refused; a person must look"},
		{terminal.Declined, terminal.Queued, "Not approved"},
	} {
		p := Payment{State: string(c.state), Settlement: string(c.settlement)}
		if w := p.Words(); w.EN != c.en || w.ZH == "" {
			t.Errorf("%s, %s: %s", c.state, c.settlement, w)
		}
	}
	waiting := Payment{State: string(terminal.AwaitingTap), Hint: string(terminal.HintUnlockPhone)}
	if w := waiting.Words(); w.EN != "Unlock the phone and confirm" {
		t.Errorf("while it is tapped the hint comes first: %s", w)
	}
}

// The description that till developers read names every route and the form of refusals.
func TestOpenAPI(t *testing.T) {
	s := newShelf()
	res, raw := call(t, Handler("test", s, s, s), "GET", "/openapi.json", "")
	for _, want := range []string{`"/v1/payments/{id}/cancel"`, `"/v1/days/{day}/reconciliation"`, `"cancel_or_wait"`, `"payment_id"`} {
		if res.StatusCode != 200 || !strings.Contains(string(raw), want) {
			t.Errorf("%s: no %s", res.Status, want)
		}
	}
	if strings.Contains(string(raw), "ErrorModel") {
		t.Error("refusals are described as the library's, not as ours")
	}
}
