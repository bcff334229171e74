package till

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"tapkeeper/terminal"
)

// Journal is what a technician does to the journal and its outbox.
type Journal interface {
	// Queue lists the outbox; with a payment, what it has there.
	Queue(ctx context.Context, payment string) (Queue, error)
	// Sync sends at once what waits for its next try.
	Sync(ctx context.Context) error
	// Hold and Release take the id of a message or a payment. Refusals: ErrNoMessage,
	// terminal.ErrPaidAnew, terminal.ErrConflict.
	Hold(ctx context.Context, id, reason, by string) error
	Release(ctx context.Context, id, by string) error
	// Verify walks through all of it. Damage is a finding and no error.
	Verify(ctx context.Context) (Verification, error)
	// Key tells about the master key, RotateKey exchanges it. ErrKeyIsKept: it is
	// another's to bring.
	Key(ctx context.Context) (MasterKey, error)
	RotateKey(ctx context.Context, by string) (MasterKey, error)
}

var (
	// ErrNoMessage: the outbox has no such message, or not in that state.
	ErrNoMessage = errors.New("there is no such message")
	// ErrKeyIsKept: the master key is a credential; the next one has to be brought.
	ErrKeyIsKept = errors.New("the master key is a credential, and the next one was not brought")
)

// Queue is the outbox.
type Queue struct {
	Waiting []Entry `json:"waiting"`
	Parked  []Entry `json:"parked" doc:"set aside: refused by the wallet, or held by a person"`
	Total   int     `json:"total_waiting" doc:"of which the oldest are listed"`
	Sent    int     `json:"sent" doc:"of those that wait: on their way, without a receipt yet"`
	Held    int     `json:"held"`
	Refused int     `json:"refused"`
}

// Entry is a message in the outbox.
type Entry struct {
	ID       string `json:"id"`
	Payment  string `json:"payment_id"`
	Kind     string `json:"kind"`
	State    string `json:"state" enum:"queued,sent,parked,held" doc:"sent since the daemon started; only the wallet's receipt takes it out of the outbox"`
	Sequence uint64 `json:"sequence"`
	Reason   string `json:"reason,omitempty"`
}

// Verification is what a walk through the journal has found.
type Verification struct {
	OK       bool     `json:"ok"`
	Damage   string   `json:"damage,omitempty" doc:"the first thing that does not fit, and why"`
	Sequence uint64   `json:"sequence"`
	Hash     string   `json:"hash"`
	Records  int      `json:"records"`
	Counters int      `json:"counters"`
	Waiting  int      `json:"waiting"`
	Aside    int      `json:"aside"`
	Healed   []string `json:"healed,omitempty"`
}

// MasterKey says where the journal's key is kept. It holds no key.
type MasterKey struct {
	Source   string `json:"source" doc:"as keys.journal_master"`
	ReadOnly bool   `json:"read_only" doc:"a credential: who keeps it brings the next one"`
	Handover string `json:"handover,omitempty" doc:"the file, in the daemon's folder in memory, that brings it"`
	UsesNext bool   `json:"uses_next" doc:"the next key is in use, and not in its place yet"`
}

type queueOutput struct{ Body Queue }
type verifyOutput struct{ Body Verification }
type keyOutput struct{ Body MasterKey }

const (
	queuePath  = "/v1/queue"
	verifyPath = queuePath + "/verify"
)

func (a *handlers) registerJournal(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "queue", Method: http.MethodGet, Path: queuePath, Summary: "Messages that wait for the wallet's receipt",
	}, func(ctx context.Context, in *struct {
		Payment string `query:"payment" doc:"only what this payment has in the outbox"`
	}) (*queueOutput, error) {
		q, err := a.office.Queue(ctx, in.Payment)
		return &queueOutput{q}, journalProblem(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "sync", Method: http.MethodPost, Path: queuePath + "/sync", DefaultStatus: http.StatusOK,
		Summary: "Connect and send at once what waits for its next try", Description: "It waits for nothing: the list shows how it goes.",
	}, func(ctx context.Context, _ *struct{}) (*queueOutput, error) {
		if err := a.office.Sync(ctx); err != nil {
			return nil, journalProblem(err)
		}
		q, err := a.office.Queue(ctx, "")
		return &queueOutput{q}, journalProblem(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "verify-journal", Method: http.MethodPost, Path: verifyPath, DefaultStatus: http.StatusOK,
		Summary: "Walk the whole journal, and name the first record that does not fit",
	}, func(ctx context.Context, _ *struct{}) (*verifyOutput, error) {
		v, err := a.office.Verify(ctx)
		return &verifyOutput{v}, journalProblem(err)
	})
	a.registerMessages(api)
	a.registerKey(api)
}

func (a *handlers) registerMessages(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "hold-message", Method: http.MethodPost, Path: queuePath + "/{id}/hold", DefaultStatus: http.StatusOK,
		Summary: "Keep a message back, and what follows it for the same payment",
	}, func(ctx context.Context, in *struct {
		ID   string `path:"id" doc:"of a message or a payment"`
		Body struct {
			Reason string `json:"reason" minLength:"1" maxLength:"200"`
		}
	}) (*queueOutput, error) {
		by, _ := peer(ctx)
		return a.moved(ctx, a.office.Hold(ctx, in.ID, in.Body.Reason, by))
	})
	huma.Register(api, huma.Operation{
		OperationID: "release-message", Method: http.MethodPost, Path: queuePath + "/{id}/release", DefaultStatus: http.StatusOK,
		Summary: "Let a message that was set aside go out again",
	}, func(ctx context.Context, in *struct {
		ID string `path:"id" doc:"of a message, or of a payment whose messages are held"`
	}) (*queueOutput, error) {
		by, _ := peer(ctx)
		return a.moved(ctx, a.office.Release(ctx, in.ID, by))
	})
}

func (a *handlers) moved(ctx context.Context, err error) (*queueOutput, error) {
	if err != nil {
		return nil, journalProblem(err)
	}
	q, err := a.office.Queue(ctx, "")
	return &queueOutput{q}, journalProblem(err)
}

func (a *handlers) registerKey(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "master-key", Method: http.MethodGet, Path: queuePath + "/key", Summary: "Where the journal's master key is kept; never the key",
	}, func(ctx context.Context, _ *struct{}) (*keyOutput, error) {
		k, err := a.office.Key(ctx)
		return &keyOutput{k}, journalProblem(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "rotate-key", Method: http.MethodPost, Path: queuePath + "/key", DefaultStatus: http.StatusOK,
		Summary:     "Give the journal a new master key; a manager's act, which the journal keeps",
		Description: "Payments go on meanwhile. Only root, the daemon's user and the group " + managers + " may ask.",
	}, func(ctx context.Context, _ *struct{}) (*keyOutput, error) {
		by, manager := peer(ctx)
		if !manager {
			return nil, problem(http.StatusForbidden, "not_a_manager", "never", "the master key is exchanged by a manager",
				"ask one; members of the group "+managers+" may: usermod -aG "+managers+" USER")
		}
		k, err := a.office.RotateKey(ctx, by)
		return &keyOutput{k}, journalProblem(err)
	})
}

// journalProblem says why something was not done to the journal.
func journalProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoMessage), errors.Is(err, terminal.ErrNotFound):
		return problem(http.StatusNotFound, "message_not_found", "never", err.Error(), "tapkeeper queue list --json shows what there is, with its ids")
	case errors.Is(err, terminal.ErrPaidAnew), errors.Is(err, terminal.ErrConflict):
		return problem(http.StatusConflict, "conflict", "never", err.Error(), "tapkeeper show --order REF lists the payments of an order")
	case errors.Is(err, ErrKeyIsKept):
		return problem(http.StatusConflict, "key_is_kept", "fix", err.Error(), "as root: tapkeeper queue rotate-key --credential FILE, the file that the unit loads")
	case errors.Is(err, terminal.ErrStorage), errors.Is(err, terminal.ErrUncertain), errors.Is(err, terminal.ErrOldCopy):
		return problemOf(err)
	}
	return problem(http.StatusServiceUnavailable, "journal_unavailable", "later", err.Error(), "see the daemon's log")
}

// Queue returns the outbox; with a payment, what it has there.
func (c *Client) Queue(ctx context.Context, payment string) (Queue, error) {
	path := queuePath
	if payment != "" {
		path += "?payment=" + url.QueryEscape(payment)
	}
	return ask[Queue](ctx, c, http.MethodGet, path, nil, nil)
}

// Sync sends at once what waits for its next try.
func (c *Client) Sync(ctx context.Context) (Queue, error) {
	return ask[Queue](ctx, c, http.MethodPost, queuePath+"/sync", nil, nil)
}

// Hold keeps a message or a payment's messages back.
func (c *Client) Hold(ctx context.Context, id, reason string) error {
	_, err := ask[Queue](ctx, c, http.MethodPost, queuePath+"/"+url.PathEscape(id)+"/hold", nil, map[string]string{"reason": reason})
	return err
}

// Release lets what was set aside go out again.
func (c *Client) Release(ctx context.Context, id string) error {
	_, err := ask[Queue](ctx, c, http.MethodPost, queuePath+"/"+url.PathEscape(id)+"/release", nil, nil)
	return err
}

// Verify walks through the journal. That takes as long as it takes: only ctx ends it.
func (c *Client) Verify(ctx context.Context) (Verification, error) {
	return ask[Verification](ctx, c, http.MethodPost, verifyPath, nil, nil)
}

// Key tells where the master key is kept.
func (c *Client) Key(ctx context.Context) (MasterKey, error) {
	return ask[MasterKey](ctx, c, http.MethodGet, queuePath+"/key", nil, nil)
}

// RotateKey gives the journal a new master key.
func (c *Client) RotateKey(ctx context.Context) (MasterKey, error) {
	return ask[MasterKey](ctx, c, http.MethodPost, queuePath+"/key", nil, nil)
}
