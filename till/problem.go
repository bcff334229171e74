package till

import (
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

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

	Errors []FieldProblem `json:"errors,omitempty"`
}

// FieldProblem says what is wrong with one field of a request. It does not
// repeat the value.
type FieldProblem struct {
	Location string `json:"location" doc:"for example body.amount_minor"`
	Message  string `json:"message"`
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
		return problem(http.StatusUnprocessableEntity, "validation", "fix", err.Error(), fixHint)
	case errors.Is(err, terminal.ErrKeyReused):
		return problem(http.StatusUnprocessableEntity, "idempotency_key_reused", "fix", err.Error(),
			"the key or the order stands for another amount; use a new one")
	case errors.Is(err, terminal.ErrNotFound):
		return problem(http.StatusNotFound, "payment_not_found", "never", err.Error(), "look for it: tapkeeper show --order REF, or tapkeeper show --day DATE")
	case errors.Is(err, terminal.ErrTooLate):
		return problem(http.StatusConflict, "not_cancelable", "never", err.Error(), "ask for the payment until it has ended")
	case errors.Is(err, terminal.ErrNotPaid):
		return problem(http.StatusConflict, "not_refundable", "never", err.Error(), "ask for the payment; only what is paid, or waits to be sent, can be given back")
	case errors.Is(err, terminal.ErrManager):
		return problem(http.StatusForbidden, "manager_required", "never", err.Error(),
			"a manager asks for it with \"manager\": true; members of the group "+managers+" may: usermod -aG "+managers+" USER")
	case errors.Is(err, terminal.ErrOldCopy):
		return problem(http.StatusServiceUnavailable, "journal_outdated", "never", err.Error(),
			"payments are missing in it: bring the newer journal back, or let the wallet's operator enrol this terminal anew; docs/operations.md has the steps")
	case errors.Is(err, terminal.ErrNotReady):
		return problem(http.StatusServiceUnavailable, "starting", "later", err.Error(), "try again in a second")
	case errors.Is(err, terminal.ErrNoField):
		return problem(http.StatusServiceUnavailable, "reader_unavailable", "later", err.Error(), "plug the reader in, or run: tapkeeper status")
	case errors.Is(err, terminal.ErrWalletAway):
		return problem(http.StatusServiceUnavailable, "wallet_unreachable", "later", err.Error(), "check the network, or run: tapkeeper status")
	case errors.Is(err, terminal.ErrUncertain):
		return problem(http.StatusServiceUnavailable, "storage_failed", "same_key", err.Error(), "ask again with the same key or order: the answer tells what is on disk")
	case errors.Is(err, terminal.ErrStorage):
		return problem(http.StatusServiceUnavailable, "storage_failed", "later", err.Error(), "free disk space where data_dir is; nothing was charged")
	}
	return problem(http.StatusInternalServerError, "internal", "later", "something failed inside; the log has it", "ask for the payment by its id or order; nothing is charged twice")
}

func orderProblem(e *terminal.OrderError) *Problem {
	code, retry, hint := "request_in_progress", "cancel_or_wait", "another key opened this order's payment; wait for it, or cancel it"
	if e.Payment.State.Ended() {
		code, retry, hint = "order_already_paid", "never", "the order is paid; ask for its payment"
	}
	p := problem(http.StatusConflict, code, retry, e.Error(), hint)
	p.Payment = e.Payment.ID.String()
	return p
}

// fixHint is for requests that the caller has to correct.
const fixHint = "correct the field named; /openapi.json says what each takes"

// shownFields bounds how many wrong fields the detail names; all are in errors.
const shownFields = 3

// ownProblems puts what the HTTP library refuses by itself into the same form
// as the terminal's refusals.
func ownProblems(ctx huma.Context, _ string, body any) (any, error) {
	if _, ours := body.(*Problem); ours {
		ctx.SetHeader("Content-Language", problemLanguage)
	}
	model, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	ctx.SetHeader("Content-Language", problemLanguage)
	p := problemOfStatus(model.Status, model.Detail)
	var shown []string
	for _, e := range model.Errors {
		p.Errors = append(p.Errors, FieldProblem{e.Location, e.Message})
		if len(shown) < shownFields {
			shown = append(shown, strings.TrimPrefix(e.Location, "body.")+": "+e.Message)
		}
	}
	if len(shown) > 0 {
		p.Detail = strings.Join(shown, "; ")
	}
	return p, nil
}

// problemOfStatus is a refusal that was decided by HTTP alone.
func problemOfStatus(status int, detail string) *Problem {
	switch status {
	case http.StatusBadRequest:
		return problem(status, "malformed", "fix", detail, "send one JSON object as application/json")
	case http.StatusNotFound:
		return problem(status, "no_such_resource", "never", detail, "/openapi.json lists what there is")
	case http.StatusMethodNotAllowed:
		return problem(status, "method_not_allowed", "fix", detail, "the header Allow names the methods")
	case http.StatusNotAcceptable:
		return problem(status, "not_acceptable", "fix", detail, "accept application/json")
	case http.StatusRequestTimeout:
		return problem(status, "request_timeout", "same_key", detail, "send the whole request at once")
	case http.StatusRequestEntityTooLarge:
		return problem(status, "too_large", "fix", detail, "no request of this API is that long")
	case http.StatusUnsupportedMediaType:
		return problem(status, "unsupported_media_type", "fix", detail, "send application/json")
	case http.StatusUnprocessableEntity:
		return problem(status, "validation", "fix", detail, fixHint)
	}
	return problem(http.StatusInternalServerError, "internal", "later", "something failed inside; the log has it", "ask for the payment by its id or order; nothing is charged twice")
}

// describeProblems puts our form of a refusal into the API's description, where
// the library has put its own.
func describeProblems(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas
	ours := schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post} {
			if op == nil {
				continue
			}
			op.Responses["default"] = &huma.Response{
				Description: "A refusal; its code says why, retry and hint what to do",
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: ours}},
			}
		}
	}
	delete(schemas.Map(), "ErrorModel")
	delete(schemas.Map(), "ErrorDetail")
}
