package till

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tapkeeper/terminal"
)

const (
	// maxWait bounds Prefer: wait, so that a till that hangs up is noticed.
	maxWait = 120 * time.Second
	// maxBody is far above any request of this API.
	maxBody = 64 << 10
	// settleWait is how long a stored payment is given to become approved while
	// the wallet is connected: the default bound of an online answer (terminal.md).
	settleWait = 3 * time.Second
)

// Payments is what the API needs of a terminal.
type Payments interface {
	Open(ctx context.Context, r terminal.Request) (terminal.Payment, error)
	Wait(ctx context.Context, id terminal.ID, revision int) (terminal.Payment, error)
	Cancel(ctx context.Context, id terminal.ID) (terminal.Payment, error)
	Refund(ctx context.Context, r terminal.RefundRequest) (terminal.Refund, error)
}

// Books is what has been kept.
type Books interface {
	Order(ref string) ([]terminal.Payment, error)
	Day(day string) ([]terminal.Payment, error)
	Trace(id terminal.ID) ([]terminal.Exchange, error)
}

// Office is the lane around the terminal: its outbox, its link, its reader.
type Office interface {
	Status(ctx context.Context) (Status, error)
	Reconcile(ctx context.Context, day string) ([]terminal.Reconciliation, error)
	// Evidence exports what proves a payment; by, who asks, is in the journal first.
	Evidence(ctx context.Context, id terminal.ID, by string) ([]byte, error)
	Journal
}

// Handler serves the API.
func Handler(version string, p Payments, b Books, o Office) http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("tapkeeper", version)
	config.DocsPath = ""     // its page loads scripts from the internet; ours comes with the till pages
	config.CreateHooks = nil // no $schema links in answers
	config.Transformers = []huma.Transformer{ownProblems}
	api := humago.New(mux, config)
	a := &handlers{payments: p, books: b, office: o}
	a.registerPayments(api)
	a.registerRefunds(api)
	a.registerOffice(api)
	a.registerEvidence(api)
	a.registerJournal(api)
	describeProblems(api.OpenAPI())
	return &front{mux}
}

type handlers struct {
	payments Payments
	books    Books
	office   Office
}

// one answers with a payment.
type one struct {
	Status   int
	Location string `header:"Location"`
	Body     Payment
}

type openInput struct {
	Key    string `header:"Idempotency-Key" doc:"names the payment for ever; without it the order reference does"`
	Prefer string `header:"Prefer" doc:"wait=SECONDS holds the answer until the outcome"`
	Body   struct {
		AmountMinor int64  `json:"amount_minor" minimum:"1"`
		Currency    string `json:"currency" pattern:"^[A-Z]{3}$"`
		OrderRef    string `json:"order_ref" minLength:"1" maxLength:"32"`
		ExpiresIn   int    `json:"expires_in_s,omitempty" minimum:"5" maximum:"300" doc:"seconds to wait for a tap"`
		Offline     string `json:"offline,omitempty" enum:"allow,never" default:"allow"`
	}
}

type idInput struct {
	ID       string `path:"id"`
	Prefer   string `header:"Prefer"`
	Revision int    `query:"revision" doc:"with Prefer: wait, answer once the revision is above this"`
	Outcome  bool   `query:"outcome" doc:"with Prefer: wait, answer at the outcome, as POST does"`
}

func (a *handlers) registerPayments(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "open-payment", Method: http.MethodPost, Path: "/v1/payments",
		Summary: "Open a payment, or find the one that the key or the order names", DefaultStatus: http.StatusCreated,
		BodyReadTimeout: -1, MaxBodyBytes: -1, // front has read it; a deadline set now would end the wait
	}, a.open)
	huma.Register(api, huma.Operation{
		OperationID: "get-payment", Method: http.MethodGet, Path: "/v1/payments/{id}", Summary: "A payment as it is on disk",
	}, a.get)
	huma.Register(api, huma.Operation{
		OperationID: "list-payments", Method: http.MethodGet, Path: "/v1/payments", Summary: "The payments of an order or a business day",
	}, a.list)
	huma.Register(api, huma.Operation{
		OperationID: "cancel-payment", Method: http.MethodPost, Path: "/v1/payments/{id}/cancel",
		Summary: "Cancel a payment that still waits for a tap", DefaultStatus: http.StatusOK,
	}, a.cancel)
	huma.Register(api, huma.Operation{
		OperationID: "trace-payment", Method: http.MethodGet, Path: "/v1/payments/{id}/trace", Summary: "The masked dialogue of the tap",
	}, a.trace)
}

func (a *handlers) open(ctx context.Context, in *openInput) (*one, error) {
	r := terminal.Request{
		Key: in.Key, OrderRef: in.Body.OrderRef, AmountMinor: in.Body.AmountMinor, Currency: in.Body.Currency,
		Offline: terminal.Offline(in.Body.Offline), ExpiresIn: time.Duration(in.Body.ExpiresIn) * time.Second,
	}
	p, err := a.payments.Open(ctx, r)
	if err != nil {
		return nil, problemOf(err)
	}
	if p, err = a.outcome(ctx, p, in.Prefer); err != nil {
		return nil, problemOf(err)
	}
	return &one{Status: http.StatusCreated, Location: "/v1/payments/" + p.ID.String(), Body: paymentOf(p)}, nil
}

func (a *handlers) get(ctx context.Context, in *idInput) (*one, error) {
	id, err := terminal.ParseID(in.ID)
	if err != nil {
		return nil, problemOf(terminal.ErrNotFound)
	}
	if in.Outcome {
		p, err := a.payments.Wait(ctx, id, -1)
		if err == nil {
			p, err = a.outcome(ctx, p, in.Prefer)
		}
		return answer(p, err)
	}
	ctx, cancel := context.WithTimeout(ctx, waitOf(in.Prefer))
	defer cancel()
	revision := in.Revision
	if in.Prefer == "" {
		revision = -1
	}
	p, err := a.payments.Wait(ctx, id, revision)
	return answer(p, err)
}

type cancelInput struct {
	ID   string `path:"id"`
	Body *struct {
		OrderRef string `json:"order_ref,omitempty" maxLength:"32" doc:"refused unless the payment is of this order"`
		Revision int    `json:"revision,omitempty" minimum:"1" doc:"refused unless the payment still is as it was then; with it, a stored payment that has not left is cancelled, too"`
		Manager  bool   `json:"manager,omitempty" doc:"as for a refund"`
	} `required:"false"`
}

// cancel compares before it acts, so that one till cannot cancel what another
// has, or what has moved on meanwhile.
func (a *handlers) cancel(ctx context.Context, in *cancelInput) (*one, error) {
	id, err := terminal.ParseID(in.ID)
	if err != nil {
		return nil, problemOf(terminal.ErrNotFound)
	}
	if in.Body == nil {
		p, err := a.payments.Cancel(ctx, id)
		return answer(p, err)
	}
	p, err := a.payments.Wait(ctx, id, -1)
	if err != nil {
		return nil, problemOf(err)
	}
	want := in.Body
	if want.OrderRef != "" && want.OrderRef != p.OrderRef || want.Revision != 0 && want.Revision != p.Revision {
		return nil, problem(http.StatusConflict, "not_cancelable", "never", "the payment is of another order, or has changed since", "ask for the payment, then decide anew")
	}
	if want.Revision == 0 || p.State != terminal.Stored || p.Settlement != terminal.Queued {
		p, err = a.payments.Cancel(ctx, id)
		return answer(p, err)
	}
	if want.Manager {
		if _, manager := peer(ctx); !manager {
			return nil, problemOf(terminal.ErrManager)
		}
	}
	p, err = a.cancelStored(ctx, p, want.Manager)
	return answer(p, err)
}

// outcome waits as long as the till prefers for a state that is told for good.
// A stored payment is given the time in which a connected wallet makes it approved.
func (a *handlers) outcome(ctx context.Context, p terminal.Payment, prefer string) (terminal.Payment, error) {
	ctx, cancel := context.WithTimeout(ctx, waitOf(prefer))
	defer cancel()
	var err error
	for err == nil && ctx.Err() == nil && !p.State.Ended() {
		before := p.State
		p, err = a.payments.Wait(ctx, p.ID, p.Revision)
		if p.State == terminal.Unknown && before != terminal.Unknown {
			return p, err // told at the deadline; whoever asks again waits for the end
		}
	}
	if err != nil || ctx.Err() != nil || p.State != terminal.Stored || p.Settlement != terminal.Queued {
		return p, err
	}
	if s, err := a.office.Status(ctx); err != nil || !s.Wallet.Connected {
		return p, nil // stored is what there is to tell
	}
	settling, stop := context.WithTimeout(ctx, settleWait)
	defer stop()
	return a.payments.Wait(settling, p.ID, p.Revision)
}

type listInput struct {
	OrderRef string `query:"order_ref"`
	Day      string `query:"day" doc:"business day, YYYY-MM-DD"`
}

type paymentList struct {
	Payments []Payment `json:"payments"`
}

type payments struct{ Body paymentList }

func (a *handlers) list(_ context.Context, in *listInput) (*payments, error) {
	var found []terminal.Payment
	var err error
	switch {
	case in.OrderRef != "" && in.Day == "":
		found, err = a.books.Order(in.OrderRef)
	case in.Day != "" && in.OrderRef == "":
		found, err = a.books.Day(in.Day)
	default:
		err = &terminal.RequestError{Field: "order_ref, day", Want: "exactly one of them"}
	}
	if err != nil {
		return nil, problemOf(err)
	}
	out := &payments{}
	out.Body.Payments = []Payment{}
	for _, p := range found {
		out.Body.Payments = append(out.Body.Payments, paymentOf(p))
	}
	return out, nil
}

type exchangeList struct {
	Exchanges []terminal.Exchange `json:"exchanges"`
}

type trace struct{ Body exchangeList }

func (a *handlers) trace(_ context.Context, in *struct {
	ID string `path:"id"`
}) (*trace, error) {
	id, err := terminal.ParseID(in.ID)
	if err != nil {
		return nil, problemOf(terminal.ErrNotFound)
	}
	exchanges, err := a.books.Trace(id)
	if err != nil {
		return nil, problemOf(err)
	}
	out := &trace{}
	out.Body.Exchanges = exchanges
	return out, nil
}

func answer(p terminal.Payment, err error) (*one, error) {
	if err != nil {
		return nil, problemOf(err)
	}
	return &one{Status: http.StatusOK, Body: paymentOf(p)}, nil
}

// waitOf reads RFC 7240's wait; zero when there is none.
func waitOf(prefer string) time.Duration {
	for part := range strings.SplitSeq(prefer, ",") {
		if seconds, ok := strings.CutPrefix(strings.TrimSpace(part), "wait="); ok {
			n, err := strconv.Atoi(seconds)
			if err == nil && n > 0 {
				return min(time.Duration(n)*time.Second, maxWait)
			}
		}
	}
	return 0
}
