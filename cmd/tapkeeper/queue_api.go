package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"tapkeeper/lane"
	"tapkeeper/queue"
	"tapkeeper/terminal"
	"tapkeeper/till"
)

// verification is what a walk through the journal has found.
type verification struct {
	OK       bool     `json:"ok"`
	Damage   string   `json:"damage,omitempty"` // the first thing that does not fit, and why
	Sequence uint64   `json:"sequence"`
	Hash     string   `json:"hash"`
	Records  int      `json:"records"`
	Counters int      `json:"counters"`
	Waiting  int      `json:"waiting"`
	Aside    int      `json:"aside"`
	Healed   []string `json:"healed,omitempty"`
}

// verified tells damage, which is a finding, from an error.
func verified(r queue.Report, err error) (verification, error) {
	v := verification{
		OK: err == nil, Sequence: r.Head.Seq, Hash: hex.EncodeToString(r.Head.Hash[:]),
		Records: r.Records, Counters: r.Counters, Waiting: r.Waiting, Aside: r.Aside, Healed: r.Healed,
	}
	var damage *queue.DamageError
	if errors.As(err, &damage) {
		v.Damage = damage.Error()
		err = nil
	}
	return v, err
}

// upkeep is the part of a lane that looks after its journal.
type upkeep interface {
	VerifyJournal() (queue.Report, error)
	Release(ctx context.Context, message string) error
}

// queueRoutes serves what a technician does to the journal, before the till's API.
func queueRoutes(next http.Handler, l upkeep) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("POST /v1/queue/verify", func(w http.ResponseWriter, _ *http.Request) {
		v, err := verified(l.VerifyJournal())
		if err != nil {
			answerProblem(w, http.StatusServiceUnavailable, "journal_unavailable", err, "see the daemon's log")
			return
		}
		answerJSON(w, http.StatusOK, "application/json", v)
	})
	mux.HandleFunc("POST /v1/queue/{id}/release", func(w http.ResponseWriter, r *http.Request) {
		switch err := l.Release(r.Context(), r.PathValue("id")); {
		case err == nil:
			answerJSON(w, http.StatusOK, "application/json", struct{}{})
		case errors.Is(err, lane.ErrNoEntry), errors.Is(err, terminal.ErrNotFound):
			answerProblem(w, http.StatusNotFound, "not_found", err, "tapkeeper queue lists what is parked, with its ids")
		case errors.Is(err, terminal.ErrPaidAnew), errors.Is(err, terminal.ErrConflict):
			answerProblem(w, http.StatusConflict, "conflict", err, "tapkeeper show --order REF lists the payments of an order")
		default:
			answerProblem(w, http.StatusServiceUnavailable, "journal_unavailable", err, "see the daemon's log")
		}
	})
	return mux
}

func answerProblem(w http.ResponseWriter, status int, code string, err error, hint string) {
	answerJSON(w, status, "application/problem+json", &till.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: err.Error(), Code: code, Retry: "never", Hint: hint,
	})
}

func answerJSON(w http.ResponseWriter, status int, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that has gone does not read it
}

// maxQueueAnswer is far above any answer of these routes.
const maxQueueAnswer = 64 << 10

// askQueue calls one of these routes. A walk through the journal takes as long as
// it takes: only ctx ends it.
func askQueue(ctx context.Context, socket string, out any, path ...string) error {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	address := (&url.URL{Scheme: "http", Host: "tapkeeper"}).JoinPath(append([]string{"v1", "queue"}, path...)...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w on %s: %w", till.ErrNoDaemon, socket, errors.Unwrap(err))
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxQueueAnswer))
	if err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		p := &till.Problem{}
		if err := json.Unmarshal(raw, p); err != nil || p.Status == 0 {
			return fmt.Errorf("the daemon answered %s", res.Status)
		}
		return p
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}
