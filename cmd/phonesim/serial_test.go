package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/pn532"
	"tapkeeper/reader/zvt"
)

// device runs the program until the test has used what it serves.
func device(t *testing.T, use func(), args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var out, errs bytes.Buffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, &out, &errs) }()
	use()
	stop()
	if c := <-code; c != exitOK || errs.Len() > 0 {
		t.Errorf("exit %d: %s", c, errs.String())
	}
	return out.String()
}

func TestPN532(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reader")
	out := device(t, func() {
		r, err := pn532.Open(path, pn532.Options{Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		card, err := r.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		answer, _, err := card.Transmit(t.Context(), selectPPSE)
		if err != nil || len(answer) < 4 || answer[0] != 0x6F {
			t.Errorf("SELECT PPSE: %X, %v", answer, err)
		}
		_ = card.Release(0)
	}, "--wallet", walletFile(t), "--pn532", path, "--hold", "0", "--fault", "spoilt@1")
	if !strings.Contains(out, "PN532 at "+path) || !strings.Contains(out, "powered 1 time, answered 1 command\n") {
		t.Error(out)
	}
}

// keeps is a witness that keeps everything.
type keeps struct{}

func (keeps) Store(zvt.Status) error { return nil }
func (keeps) Hint(zvt.Hint)          {}
func (keeps) Printed([]string)       {}

func TestZVTTerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terminal")
	out := device(t, func() {
		c, err := zvt.Open(path, zvt.Options{Currency: 978})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ready := func() {
			for end := time.Now().Add(10 * time.Second); c.State() != reader.Ready; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal(c.Trouble())
				}
			}
		}
		ready()
		if _, err := c.Pay(t.Context(), 500, 978, keeps{}); err == nil {
			t.Error("the line was not cut")
		}
		ready() // the cable is out for a moment
		if s, err := c.Pay(t.Context(), 12_50, 978, keeps{}); err != nil || s.Code != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	}, "--zvt", path, "--fault", "cut-after@7")
	if !strings.Contains(out, "payment   12.50\n") || !strings.Contains(out, "1 booking, and 1 reversed because nobody answered\n") {
		t.Error(out)
	}
}

func TestSerialFailures(t *testing.T) {
	wallet := walletFile(t)
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"byte-by-byte", []string{"--wallet", wallet, "--pn532", "/nonexistent/x", "--fault", "nope@1"}},
		{"cut-after", []string{"--zvt", "/nonexistent/x", "--fault", "cut-after"}},
		{"no serial line", []string{"--wallet", wallet, "--pn532", "/nonexistent/x"}},
		{"no line", []string{"--zvt", "/nonexistent/x"}},
		{"result code", []string{"--zvt", "/nonexistent/x", "--decline", "300"}},
	} {
		code, _, stderr := phonesim(t, tc.args...)
		if code == exitOK || !strings.Contains(stderr, tc.want) || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%q: exit %d: %s", tc.args, code, stderr)
		}
	}
}
