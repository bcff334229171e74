package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/lane"
	"tapkeeper/queue"
	"tapkeeper/terminal"
)

// books are a journal that finds what it is told to find.
type books struct {
	err      error
	released []string
}

func (b *books) VerifyJournal() (queue.Report, error) { return queue.Report{}, b.err }

func (b *books) Release(_ context.Context, message string) error {
	b.released = append(b.released, message)
	return b.err
}

// Every answer of the two routes, as the tool shows it.
func TestQueueVerbs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	b := &books{}
	server := &http.Server{Handler: queueRoutes(http.NotFoundHandler(), b)}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	defer func() { _ = server.Close(); <-done }()

	for _, test := range []struct {
		err  error
		verb string
		code int
		says string
	}{
		{nil, "release", exitOK, "message a/b c waits again"},
		{lane.ErrNoEntry, "release", exitUsage, lane.ErrNoEntry.Error()},
		{terminal.ErrNotFound, "release", exitUsage, "no such payment"},
		{terminal.ErrPaidAnew, "release", exitUsage, "newer payment"},
		{terminal.ErrConflict, "release", exitUsage, "changed in between"},
		{queue.ErrUnknown, "release", exitUnavailable, "unknown"},
		{nil, "verify", exitOK, "all fit"},
		{&queue.DamageError{What: "record", Kind: "payment", Key: "1", Seq: 7, Why: "it is missing"}, "verify", exitUnexpected, "record payment/1, sequence 7: it is missing"},
		{errors.New("closed"), "verify", exitUnavailable, "closed"},
	} {
		b.err, b.released = test.err, nil
		args := []string{"--socket", socket, "queue", test.verb}
		if test.verb == "release" {
			args = append(args, "a/b c")
		}
		var out bytes.Buffer
		if code := run(t.Context(), args, &out, &out); code != test.code || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s, %v: exit status %d, want %d; it said %q", test.verb, test.err, code, test.code, out.String())
		}
		if test.verb == "release" && (len(b.released) != 1 || b.released[0] != "a/b c") {
			t.Errorf("released %q", b.released)
		}
	}
}
