package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tapkeeper/lane"
	"tapkeeper/queue"
	"tapkeeper/terminal"
	"tapkeeper/till"
)

// books are a journal that finds what it is told to find.
type books struct {
	till.Office
	err      error
	did      []string
	outboxes []till.Queue // one look after the other; the last stays
}

func (b *books) do(what string) error {
	b.did = append(b.did, what)
	return tillError(b.err)
}

func (b *books) Queue(context.Context, string) (till.Queue, error) {
	if len(b.outboxes) == 0 {
		return till.Queue{}, nil
	}
	q := b.outboxes[0]
	if len(b.outboxes) > 1 {
		b.outboxes = b.outboxes[1:]
	}
	return q, nil
}

func (b *books) Sync(context.Context) error { return b.do("sync") }

func (b *books) Hold(_ context.Context, id, reason, _ string) error {
	return b.do("hold " + id + ": " + reason)
}

func (b *books) Release(_ context.Context, id, _ string) error { return b.do("release " + id) }

func (b *books) Verify(context.Context) (till.Verification, error) {
	return verified(queue.Report{}, b.err)
}

func (b *books) Key(context.Context) (till.MasterKey, error) {
	return till.MasterKey{Source: "/k"}, nil
}

func (b *books) RotateKey(_ context.Context, by string) (till.MasterKey, error) {
	return till.MasterKey{Source: "/k"}, b.do("rotate")
}

// serveBooks answers on a socket until the test ends.
func serveBooks(t *testing.T, b *books) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	listener, err := till.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = till.Serve(ctx, listener, till.Handler("test", nil, nil, b))
	}()
	t.Cleanup(func() { stop(); <-done })
	return socket
}

// Every answer of the journal's routes, as the tool shows it.
func TestQueueVerbs(t *testing.T) {
	b := &books{}
	socket := serveBooks(t, b)
	for _, test := range []struct {
		err  error
		args string
		code int
		says string
		did  string
	}{
		{nil, "release a|b", exitOK, "message a|b waits again", "release a|b"},
		{lane.ErrNoEntry, "release a", exitUsage, lane.ErrNoEntry.Error(), "release a"},
		{terminal.ErrNotFound, "release a", exitUsage, "no such payment", "release a"},
		{terminal.ErrPaidAnew, "release a", exitUsage, "newer payment", "release a"},
		{terminal.ErrConflict, "release a", exitUsage, "changed in between", "release a"},
		{queue.ErrUnknown, "release a", exitUnavailable, "unknown", "release a"},
		{nil, "hold a", exitOK, "a is held", "hold a: held by hand"},
		{nil, "hold a --reason why", exitOK, "a is held", "hold a: why"},
		{lane.ErrNotWaiting, "hold a", exitUsage, lane.ErrNotWaiting.Error(), "hold a: held by hand"},
		{nil, "rotate-key", exitOK, "new master key (/k)", "rotate"},
		{lane.ErrHandKey, "rotate-key", exitUsage, "credential", "rotate"},
		{queue.ErrUnknown, "rotate-key", exitUnavailable, "unknown", "rotate"},
		{nil, "rotate-key --credential /x", exitUsage, "by itself", ""},
		{nil, "verify", exitOK, "all fit", ""},
		{&queue.DamageError{What: "record", Kind: "payment", Key: "1", Seq: 7, Why: "it is missing"}, "verify", exitUnexpected, "record payment/1, sequence 7: it is missing", ""},
		{errors.New("closed"), "verify", exitUnavailable, "closed", ""},
		{nil, "sync", exitOK, "0 settled, 0 sent, 0 left, 0 parked", "sync"},
	} {
		b.err, b.did = test.err, nil
		args := append([]string{"--socket", socket, "queue"}, strings.Fields(test.args)...)
		var out bytes.Buffer
		code := run(t.Context(), args, &out, &out)
		if code != test.code || !strings.Contains(out.String(), test.says) || strings.Join(b.did, ", ") != test.did {
			t.Errorf("%s, %v: exit status %d, want %d; it did %q and said %q", test.args, test.err, code, test.code, b.did, out.String())
		}
	}
}

// queue sync --wait says what moves, once each, and how it ended.
func TestQueueSync(t *testing.T) {
	b := &books{}
	socket := serveBooks(t, b)
	outboxes := []till.Queue{{Total: 5}, {Total: 5, Sent: 5}, {Total: 2, Sent: 2}, {Total: 2, Sent: 2}, {Total: 0, Parked: make([]till.Entry, 1)}}
	b.outboxes = slices.Clone(outboxes)
	var out bytes.Buffer
	code := run(t.Context(), []string{"--socket", socket, "queue", "sync", "--wait"}, &out, &out)
	want := "0 settled, 0 sent, 5 left, 0 parked\n0 settled, 5 sent, 5 left, 0 parked\n3 settled, 2 sent, 2 left, 0 parked\n5 settled, 0 sent, 0 left, 1 parked\n"
	if code != exitOK || out.String() != want {
		t.Errorf("status %d:\n%s", code, out.String())
	}
	out.Reset()
	b.outboxes = slices.Clone(outboxes)
	code = run(t.Context(), []string{"--socket", socket, "queue", "sync", "--wait", "--json"}, &out, &out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last progress
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || code != exitOK || len(lines) != 4 || !last.Done || last.Settled != 5 {
		t.Errorf("status %d, %+v, %v:\n%s", code, last, err, out.String())
	}
	out.Reset()
	b.outboxes = []till.Queue{{Total: 3, Sent: 3}}
	code = run(t.Context(), []string{"--socket", socket, "queue", "sync", "--wait", "--patience", "300ms"}, &out, &out)
	if code != exitUnavailable || !strings.Contains(out.String(), "3 messages still wait") {
		t.Errorf("stuck: status %d:\n%s", code, out.String())
	}
}

// The routes are described, with the refusals that all routes have.
func TestQueueIsDescribed(t *testing.T) {
	socket := serveBooks(t, &books{})
	raw, err := get(t, socket, "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string         `json:"operationId"`
			Responses   map[string]any `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, route := range []string{
		"GET /v1/queue", "POST /v1/queue/sync", "POST /v1/queue/verify", "POST /v1/queue/{id}/hold", "POST /v1/queue/{id}/release",
		"GET /v1/queue/key", "POST /v1/queue/key",
	} {
		method, path, _ := strings.Cut(route, " ")
		op, ok := doc.Paths[path][strings.ToLower(method)]
		if !ok || op.OperationID == "" || op.Responses["default"] == nil {
			t.Errorf("%s is not described: %+v", route, op)
		}
	}
}

func get(t *testing.T, socket, path string) ([]byte, error) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	res, err := client.Get("http://tapkeeper" + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(res.Body)
	return b.Bytes(), err
}
