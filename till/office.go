package till

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tapkeeper/terminal"
)

// Status is the lane at a glance.
type Status struct {
	Version  string         `json:"version"`
	Merchant string         `json:"merchant"`
	Terminal string         `json:"terminal"`
	Since    time.Time      `json:"since"`
	Day      string         `json:"business_day"`
	Reader   ReaderStatus   `json:"reader"`
	Wallet   WalletStatus   `json:"wallet"`
	Clock    ClockStatus    `json:"clock"`
	Exposure ExposureStatus `json:"exposure"`
	Waiting  int            `json:"waiting" doc:"messages without the wallet's receipt"`
	Parked   int            `json:"parked" doc:"messages that wait for a person"`
}

// ReaderStatus says whether phones can be tapped.
type ReaderStatus struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Trouble string `json:"trouble,omitempty"`
}

// WalletStatus says whether the wallet can be reached.
type WalletStatus struct {
	Broker    string    `json:"broker"`
	Up        bool      `json:"up" doc:"the broker is connected"`
	Connected bool      `json:"connected" doc:"the wallet was heard within a minute"`
	Since     time.Time `json:"since"`
	Trouble   string    `json:"trouble,omitempty"`
}

// ClockStatus says whether the clock may decide about money.
type ClockStatus struct {
	Trusted bool   `json:"trusted"`
	Why     string `json:"why"`
}

// ExposureStatus is what is accepted offline and without a receipt.
type ExposureStatus struct {
	Payments    int64  `json:"payments"`
	MaxPayments int64  `json:"max_payments"`
	SumMinor    int64  `json:"sum_minor"`
	MaxSumMinor int64  `json:"max_sum_minor"`
	Currency    string `json:"currency" doc:"of the sums"`
}

// Queue is the outbox.
type Queue struct {
	Waiting []Entry `json:"waiting"`
	Parked  []Entry `json:"parked"`
	Total   int     `json:"total_waiting" doc:"of which the oldest are listed"`
}

// Entry is a message in the outbox.
type Entry struct {
	ID       string `json:"id"`
	Payment  string `json:"payment_id"`
	Kind     string `json:"kind"`
	Sequence uint64 `json:"sequence"`
	Reason   string `json:"reason,omitempty"`
}

type statusOutput struct{ Body Status }
type queueOutput struct{ Body Queue }
type reconOutput struct{ Body reconciliationList }

type reconciliationList struct {
	Reconciliations []terminal.Reconciliation `json:"reconciliations"`
}

func (a *handlers) registerOffice(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "status", Method: http.MethodGet, Path: "/v1/status", Summary: "The lane at a glance",
	}, func(ctx context.Context, _ *struct{}) (*statusOutput, error) {
		s, err := a.office.Status(ctx)
		if err != nil {
			return nil, problemOf(err)
		}
		return &statusOutput{s}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "queue", Method: http.MethodGet, Path: "/v1/queue", Summary: "Messages that wait for the wallet's receipt",
	}, func(ctx context.Context, _ *struct{}) (*queueOutput, error) {
		q, err := a.office.Queue(ctx)
		if err != nil {
			return nil, problemOf(err)
		}
		return &queueOutput{q}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "reconcile", Method: http.MethodPost, Path: "/v1/days/{day}/reconciliation",
		Summary: "Compare a business day with the wallet", DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *struct {
		Day string `path:"day"`
	}) (*reconOutput, error) {
		all, err := a.office.Reconcile(ctx, in.Day)
		if err != nil {
			return nil, problemOf(err)
		}
		out := &reconOutput{}
		out.Body.Reconciliations = all
		return out, nil
	})
}
