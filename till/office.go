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
	Hotlist  HotlistStatus  `json:"hotlist"`
	Disk     DiskStatus     `json:"disk"`
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

// DiskStatus says whether there is room for new payments.
type DiskStatus struct {
	Free    uint64 `json:"free_bytes" doc:"what the journal may still take"`
	Need    uint64 `json:"need_bytes" doc:"below this nothing new is taken"`
	Full    bool   `json:"full" doc:"payments are refused before the phone is read (storage_failed)"`
	Trouble string `json:"trouble,omitempty"`
}

// HotlistStatus is what is in force of the lists of revoked certificates and of
// blocked devices.
type HotlistStatus struct {
	Revocations   ListStatus       `json:"revocations"`
	Exceptions    ListStatus       `json:"exceptions"`
	OrdersRefused map[string]int64 `json:"orders_refused,omitempty" doc:"what the wallet sent unasked and this terminal did not take, by its fault"`
	LastRefused   string           `json:"last_refused,omitempty"`
}

// ListStatus is one list.
type ListStatus struct {
	Version  int64     `json:"version" doc:"0: none was issued yet"`
	IssuedAt time.Time `json:"issued_at"`
	AgeDays  int       `json:"age_days"`
	Entries  int       `json:"entries"`
}

// ExposureStatus is what is accepted offline and without a receipt.
type ExposureStatus struct {
	Payments    int64  `json:"payments"`
	MaxPayments int64  `json:"max_payments"`
	SumMinor    int64  `json:"sum_minor"`
	MaxSumMinor int64  `json:"max_sum_minor"`
	Currency    string `json:"currency" doc:"of the sums"`
}

type statusOutput struct{ Body Status }
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
