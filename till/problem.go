package till

import (
	"errors"
	"net/http"
	"strings"

	"tapkeeper/terminal"
)

// Problem is a refusal, in the form of RFC 9457.
type Problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail,omitempty"`
	Code    string `json:"code"`
	Retry   string `json:"retry" enum:"never,fix,later,same_key,cancel_or_wait"`
	Hint    string `json:"hint,omitempty"`
	Payment string `json:"payment_id,omitempty"`
	Errors  []any  `json:"errors,omitempty"`
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, retry, detail, hint string) *Problem {
	return &Problem{
		Type: "urn:tapkeeper:problem:" + code, Title: strings.ReplaceAll(code, "_", " "),
		Status: status, Code: code, Retry: retry, Detail: detail, Hint: hint,
	}
}

// problemOf turns a refusal of the terminal into one for the till. An error
// that is not a refusal is ours: 500, and nothing about a payment's outcome.
func problemOf(err error) error {
	var busy *terminal.BusyError
	var order *terminal.OrderError
	var request *terminal.RequestError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &busy):
		p := problem(http.StatusConflict, "reader_busy", "cancel_or_wait", err.Error(), "wait for the payment, or cancel it")
		p.Payment = busy.Payment.String()
		return p
	case errors.As(err, &order):
		return orderProblem(order)
	case errors.As(err, &request):
		return problem(http.StatusUnprocessableEntity, "validation", "fix", err.Error(), "")
	case errors.Is(err, terminal.ErrKeyReused):
		return problem(http.StatusUnprocessableEntity, "idempotency_key_reused", "fix", err.Error(),
			"the key or the order stands for another amount; use a new one")
	case errors.Is(err, terminal.ErrNotFound):
		return problem(http.StatusNotFound, "payment_not_found", "never", err.Error(), "")
	case errors.Is(err, terminal.ErrTooLate):
		return problem(http.StatusConflict, "not_cancelable", "never", err.Error(), "ask for the payment until it has ended")
	case errors.Is(err, terminal.ErrNotReady):
		return problem(http.StatusServiceUnavailable, "starting", "later", err.Error(), "try again in a second")
	case errors.Is(err, terminal.ErrNoField):
		return problem(http.StatusServiceUnavailable, "reader_unavailable", "later", err.Error(), "plug the reader in, or run: tapkeeper status")
	case errors.Is(err, terminal.ErrWalletAway):
		return problem(http.StatusServiceUnavailable, "wallet_unreachable", "later", err.Error(), "check the network, or run: tapkeeper status")
	case errors.Is(err, terminal.ErrStorage), errors.Is(err, terminal.ErrUncertain):
		return problem(http.StatusServiceUnavailable, "storage_failed", "later", err.Error(), "free disk space, or run: tapkeeper status")
	}
	return problem(http.StatusInternalServerError, "internal", "later", "something failed inside; the log has it", "")
}

func orderProblem(e *terminal.OrderError) *Problem {
	code, hint := "request_in_progress", "ask for the payment that is open"
	if e.Payment.State.Ended() {
		code, hint = "order_already_paid", "the order is paid; ask for its payment"
	}
	p := problem(http.StatusConflict, code, "never", e.Error(), hint)
	p.Payment = e.Payment.ID.String()
	return p
}
