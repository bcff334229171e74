package till

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tapkeeper/terminal"
)

// patience is what the daemon gets above the time that it was asked to wait; a
// reconciliation is the slowest of its answers.
const patience = 20 * time.Second

// maxAnswer bounds what the client reads: a day's list of a busy shop.
const maxAnswer = 16 << 20

// ErrNoDaemon: nobody answers on the socket.
var ErrNoDaemon = errors.New("no daemon answers")

// Client talks to a daemon over its socket. Refusals are *Problem.
type Client struct {
	socket string
	http   http.Client
}

// NewClient makes a client for the socket; it connects at the first call.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// OpenRequest is what POST /v1/payments takes.
type OpenRequest struct {
	Key         string `json:"-"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
	OrderRef    string `json:"order_ref"`
	ExpiresIn   int    `json:"expires_in_s,omitempty"`
	Offline     string `json:"offline,omitempty"`
}

// Open opens a payment, or finds the one that key or order name.
func (c *Client) Open(ctx context.Context, r OpenRequest) (Payment, error) {
	header := http.Header{}
	if r.Key != "" {
		header.Set("Idempotency-Key", r.Key)
	}
	return ask[Payment](ctx, c, http.MethodPost, "/v1/payments", header, r)
}

// Get returns a payment; with wait it answers once the revision is above the
// given one, or when the wait is over.
func (c *Client) Get(ctx context.Context, id string, revision int, wait time.Duration) (Payment, error) {
	header := http.Header{}
	if wait > 0 {
		header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	path := fmt.Sprintf("/v1/payments/%s?revision=%d", url.PathEscape(id), revision)
	return ask[Payment](ctx, c, http.MethodGet, path, header, nil)
}

// Outcome returns a payment at its outcome, or as it is when the wait is over. A
// stored one gets the moment in which a connected wallet makes it approved.
func (c *Client) Outcome(ctx context.Context, id string, wait time.Duration) (Payment, error) {
	header := http.Header{"Prefer": {"wait=" + strconv.Itoa(int(wait.Seconds()))}}
	return ask[Payment](ctx, c, http.MethodGet, "/v1/payments/"+url.PathEscape(id)+"?outcome=true", header, nil)
}

// Cancel cancels a payment that waits for a tap.
func (c *Client) Cancel(ctx context.Context, id string) (Payment, error) {
	return ask[Payment](ctx, c, http.MethodPost, "/v1/payments/"+url.PathEscape(id)+"/cancel", nil, nil)
}

// Day lists the payments of a business day.
func (c *Client) Day(ctx context.Context, day string) ([]Payment, error) {
	list, err := ask[paymentList](ctx, c, http.MethodGet, "/v1/payments?day="+url.QueryEscape(day), nil, nil)
	return list.Payments, err
}

// Order lists the payments of an order, oldest first.
func (c *Client) Order(ctx context.Context, ref string) ([]Payment, error) {
	list, err := ask[paymentList](ctx, c, http.MethodGet, "/v1/payments?order_ref="+url.QueryEscape(ref), nil, nil)
	return list.Payments, err
}

// Trace returns the masked dialogue of a tap.
func (c *Client) Trace(ctx context.Context, id string) ([]terminal.Exchange, error) {
	list, err := ask[exchangeList](ctx, c, http.MethodGet, "/v1/payments/"+url.PathEscape(id)+"/trace", nil, nil)
	return list.Exchanges, err
}

// Status returns the lane at a glance.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, http.MethodGet, "/v1/status", nil, nil)
}

// Reconcile compares a business day with the wallet.
func (c *Client) Reconcile(ctx context.Context, day string) ([]terminal.Reconciliation, error) {
	path := "/v1/days/" + url.PathEscape(day) + "/reconciliation"
	// Where much differs it takes many questions.
	list, err := ask[reconciliationList](ctx, c, http.MethodPost, path, http.Header{"Prefer": {"wait=60"}}, nil)
	return list.Reconciliations, err
}

func ask[T any](ctx context.Context, c *Client, method, path string, header http.Header, in any) (T, error) {
	var out T
	err := c.call(ctx, method, path, header, in, &out)
	return out, err
}

func (c *Client) call(ctx context.Context, method, path string, header http.Header, in, out any) error {
	caller := ctx
	if path != verifyPath { // a walk through the journal takes as long as it takes
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience+waitOf(header.Get("Prefer")))
		defer cancel()
	}
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode a request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://tapkeeper"+path, body)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		if caller.Err() != nil {
			return caller.Err()
		}
		return fmt.Errorf("%w on %s: %w", ErrNoDaemon, c.socket, errors.Unwrap(err))
	}
	defer func() { _ = res.Body.Close() }()
	return read(res, out)
}

func read(res *http.Response, out any) error {
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		p := &Problem{}
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
