package till

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tapkeeper/terminal"
)

// Refund is money of a payment that goes back, as a till sees it.
type Refund struct {
	ID          string    `json:"id" doc:"UUIDv7"`
	PaymentID   string    `json:"payment_id"`
	AmountMinor int64     `json:"amount_minor"`
	Currency    string    `json:"currency"`
	State       string    `json:"state" enum:"awaiting_tap,queued,sent,refunded,refused" doc:"refunded when the wallet has confirmed it"`
	Reason      *Reason   `json:"reason,omitempty" doc:"why the wallet refused it"`
	Reversal    bool      `json:"reversal,omitempty" doc:"the payment had not left yet: it is reversed as a whole, nothing is taken"`
	Manager     bool      `json:"manager,omitempty" doc:"a manager has approved it"`
	CreatedAt   time.Time `json:"created_at"`
	BusinessDay string    `json:"business_day"`
}

func refundOf(p *terminal.Payment, r *terminal.Refund) Refund {
	out := Refund{
		ID: r.ID.String(), PaymentID: p.ID.String(), AmountMinor: r.AmountMinor, Currency: p.Currency, State: string(r.State),
		Reversal: r.Reversal, Manager: r.Manager, CreatedAt: r.At, BusinessDay: r.BusinessDay,
	}
	why := terminal.Payment{Reason: r.Reason}
	out.Reason = reasonOf(&why)
	return out
}

func refundsOf(p *terminal.Payment) []Refund {
	out := make([]Refund, 0, len(p.Refunds))
	for i := range p.Refunds {
		out = append(out, refundOf(p, &p.Refunds[i]))
	}
	return out
}

type refundInput struct {
	ID     string `path:"id"`
	Key    string `header:"Idempotency-Key" doc:"required: the same key is the same refund, however often it is asked for"`
	Prefer string `header:"Prefer" doc:"wait=SECONDS holds the answer until the wallet has confirmed or refused it"`
	Body   struct {
		AmountMinor int64 `json:"amount_minor,omitempty" minimum:"1" doc:"absent: all that is left of the payment"`
		Manager     bool  `json:"manager,omitempty" doc:"a manager approves it; the caller must be one"`
		Tap         bool  `json:"tap,omitempty" doc:"the phone that has paid must be tapped; cancel it with its id while it waits"`
	}
}

type refundOutput struct {
	Status int
	Body   Refund
}

type refundList struct {
	Refunds       []Refund `json:"refunds"`
	RefundedMinor int64    `json:"refunded_minor" doc:"what has gone back, confirmed by the wallet"`
}

type refundsOutput struct{ Body refundList }

func (a *handlers) registerRefunds(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "refund-payment", Method: http.MethodPost, Path: "/v1/payments/{id}/refunds", DefaultStatus: http.StatusCreated,
		Summary: "Give money of a payment back, all or a part, also while the payment waits in the outbox",
		Description: "The sum of all refunds never exceeds what was paid. All of a payment that has not left yet: it is reversed instead, " +
			"and nothing is taken. Above the configured sum a manager must ask (root, the daemon's user, the group " + managers + ").",
		BodyReadTimeout: -1, MaxBodyBytes: -1, // front has read it
	}, a.refund)
	huma.Register(api, huma.Operation{
		OperationID: "list-refunds", Method: http.MethodGet, Path: "/v1/payments/{id}/refunds", Summary: "The refunds of a payment, oldest first",
	}, a.refunds)
}

func (a *handlers) refund(ctx context.Context, in *refundInput) (*refundOutput, error) {
	id, err := terminal.ParseID(in.ID)
	if err != nil {
		return nil, problemOf(terminal.ErrNotFound)
	}
	if in.Body.Manager {
		if _, manager := peer(ctx); !manager {
			return nil, problemOf(terminal.ErrManager)
		}
	}
	r, err := a.payments.Refund(ctx, terminal.RefundRequest{Payment: id, Key: in.Key, AmountMinor: in.Body.AmountMinor, Manager: in.Body.Manager, Tap: in.Body.Tap})
	if err != nil {
		return nil, problemOf(err)
	}
	ctx, cancel := context.WithTimeout(ctx, waitOf(in.Prefer))
	defer cancel()
	for revision := -1; ; {
		p, err := a.payments.Wait(ctx, id, revision)
		if err != nil {
			return nil, problemOf(err)
		}
		for i := range p.Refunds {
			if p.Refunds[i].ID == r.ID {
				r = p.Refunds[i]
			}
		}
		if r.State == terminal.RefundDone || r.State == terminal.RefundRefused || ctx.Err() != nil {
			return &refundOutput{http.StatusCreated, refundOf(&p, &r)}, nil
		}
		revision = p.Revision
	}
}

func (a *handlers) refunds(ctx context.Context, in *struct {
	ID string `path:"id"`
}) (*refundsOutput, error) {
	id, err := terminal.ParseID(in.ID)
	if err != nil {
		return nil, problemOf(terminal.ErrNotFound)
	}
	p, err := a.payments.Wait(ctx, id, -1)
	if err != nil {
		return nil, problemOf(err)
	}
	return &refundsOutput{refundList{refundsOf(&p), p.RefundedMinor()}}, nil
}

// cancelStored reverses a stored payment that has not left yet, for a till that
// has seen it so: its revision says that nothing has happened since.
func (a *handlers) cancelStored(ctx context.Context, p terminal.Payment, manager bool) (terminal.Payment, error) {
	r := terminal.RefundRequest{Payment: p.ID, Key: "cancel " + p.ID.String(), Manager: manager}
	if _, err := a.payments.Refund(ctx, r); err != nil {
		return p, err
	}
	return a.payments.Wait(ctx, p.ID, -1)
}

// RefundRequest is what POST /v1/payments/{id}/refunds takes.
type RefundRequest struct {
	Payment     string `json:"-"`
	Key         string `json:"-"`
	AmountMinor int64  `json:"amount_minor,omitempty"` // zero: all that is left
	Manager     bool   `json:"manager,omitempty"`
	Tap         bool   `json:"tap,omitempty"`
}

// Refund gives money back, and waits a while for the wallet's word.
func (c *Client) Refund(ctx context.Context, r RefundRequest, wait time.Duration) (Refund, error) {
	header := http.Header{"Idempotency-Key": {r.Key}}
	if wait > 0 {
		header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	return ask[Refund](ctx, c, http.MethodPost, fmt.Sprintf("/v1/payments/%s/refunds", url.PathEscape(r.Payment)), header, r)
}

// Refunds lists a payment's refunds, oldest first.
func (c *Client) Refunds(ctx context.Context, payment string) ([]Refund, error) {
	list, err := ask[refundList](ctx, c, http.MethodGet, fmt.Sprintf("/v1/payments/%s/refunds", url.PathEscape(payment)), nil, nil)
	return list.Refunds, err
}
