package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapkeeper/lane"
	"tapkeeper/queue"
	"tapkeeper/reader"
	"tapkeeper/till"
)

// Errors that a script cannot easily bring about have their status and hint too.
func TestClassify(t *testing.T) {
	part := func(err error) error { return fmt.Errorf("start: %w", &lane.PartError{Part: "journal", Err: err}) }
	problem := func(status int, retry string) error { return &till.Problem{Status: status, Retry: retry, Detail: "x"} }
	for _, c := range []struct {
		err    error
		status int
		hint   string
	}{
		{part(queue.ErrFull), exitUnavailable, "free disk space"},
		{part(queue.ErrDisk), exitUnavailable, "takes writes"},
		{part(queue.ErrLocked), exitTryAgain, "another daemon"},
		{part(queue.ErrKey), exitConfig, "journal_master"},
		{part(&queue.DamageError{What: "event"}), exitUnexpected, "copy data_dir"},
		{part(&fs.PathError{Op: "mkdir", Path: "/x", Err: syscall.EACCES}), exitConfig, "owns"},
		{part(&fs.PathError{Op: "mkdir", Path: "/x", Err: syscall.EROFS}), exitUnavailable, "on the disk"},
		{part(reader.ErrBusy), exitTryAgain, "reader"},
		{part(till.ErrInUse), exitTryAgain, "till.socket"},
		{fmt.Errorf("%w: %w", till.ErrNoDaemon, syscall.ECONNREFUSED), exitUnavailable, "tapkeeper serve"},
		{fmt.Errorf("%w: %w", till.ErrNoDaemon, syscall.EACCES), exitUnavailable, "usermod"},
		{context.Canceled, exitTryAgain, "show --order"},
		{problem(503, "later"), exitUnavailable, "log"},
		{problem(409, "cancel_or_wait"), exitTryAgain, "log"},
		{problem(409, "never"), exitUsage, "log"},
		{problem(404, "never"), exitUsage, "log"},
		{problem(500, "later"), exitUnexpected, "log"},
		{errors.New("two\nlines"), exitUnexpected, "TAPKEEPER_LOG"},
	} {
		var b bytes.Buffer
		status := explain(&b, c.err)
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if status != c.status || len(lines) != 2 || !strings.HasPrefix(lines[0], "error: ") || !strings.Contains(lines[1], c.hint) {
			t.Errorf("%v: status %d, want %d\n%s", c.err, status, c.status, &b)
		}
	}
	var b bytes.Buffer
	if status := explain(&b, errNotApproved); status != exitUnexpected || b.Len() > 0 {
		t.Errorf("not approved: %d %q", status, &b)
	}
}

// The unit tries again after what can pass, and leaves what only a person can mend.
func TestUnitKnowsTheStatuses(t *testing.T) {
	unit, err := os.ReadFile("../../systemd/tapkeeper.service")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("RestartPreventExitStatus=%d %d", exitUsage, exitConfig)
	if !regexp.MustCompile(`(?m)^`+want+`$`).Match(unit) || !bytes.Contains(unit, []byte("\nRestart=always\n")) {
		t.Errorf("the unit does not have %s and Restart=always", want)
	}
	if !bytes.Contains(unit, []byte("serve --config /etc/tapkeeper/tapkeeper.toml\n")) {
		t.Error("the unit does not start serve with its configuration")
	}
}

// status ends with 69 and names the first thing to look at.
func TestTroubleOf(t *testing.T) {
	good := till.Status{
		Reader: till.ReaderStatus{Ready: true}, Wallet: till.WalletStatus{Up: true, Connected: true}, Clock: till.ClockStatus{Trusted: true},
	}
	if err := troubleOf(good); err != nil {
		t.Errorf("all is well: %v", err)
	}
	for want, change := range map[string]func(*till.Status){
		"reader: unplugged": func(s *till.Status) {
			s.Reader, s.Wallet = till.ReaderStatus{Trouble: "unplugged"}, till.WalletStatus{}
		},
		"wallet: refused": func(s *till.Status) { s.Wallet = till.WalletStatus{Trouble: "refused"} },
		"was not heard":   func(s *till.Status) { s.Wallet.Connected = false },
		"clock: behind":   func(s *till.Status) { s.Clock = till.ClockStatus{Why: "behind"} },
	} {
		s := good
		change(&s)
		var f *failure
		if err := troubleOf(s); !errors.As(err, &f) || f.code != exitUnavailable || !strings.Contains(err.Error(), want) || f.hint == "" {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestMoney(t *testing.T) {
	for text, minor := range map[string]int64{
		"1": 100, "0.01": 1, "12.5": 1250, "12.50": 1250, "007": 700, "92233720368547758.07": 1<<63 - 1,
		"": 0, ".5": 0, "1.": 0, "1.234": 0, "-1": 0, "+1": 0, "1_0": 0, "1e2": 0, "0": 0, "0.00": 0, "1.-5": 0, "1.2.3": 0, " 1": 0,
		"¥1": 0, "1,00": 0, "92233720368547758.08": 0, "NaN": 0, "٣": 0,
	} {
		got, err := parseMoney(text)
		if got != minor || (err == nil) != (minor > 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, minor)
		}
	}
	for minor, text := range map[int64]string{0: "¥0.00", 5: "¥0.05", 1250: "¥12.50", -1250: "-¥12.50"} {
		if got := formatMoney(minor, "CNY"); got != text {
			t.Errorf("%d: %q, want %q", minor, got, text)
		}
	}
	if got := formatMoney(100, "XTS"); got != "XTS 1.00" {
		t.Errorf("a currency without a symbol: %q", got)
	}
}

// The log hears of the reader when it goes and comes, once each.
func TestTellReader(t *testing.T) {
	states := []reader.State{
		reader.Starting, reader.Missing, reader.Missing, reader.Ready, reader.InUse, reader.Ready, reader.NoService, reader.Closed,
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var log safeBuffer
	var now reader.State
	tellReader(ctx, jsonLog(&log), func() (string, reader.State) {
		now = states[0]
		if states = states[1:]; len(states) == 0 {
			stop()
			states = []reader.State{now}
		}
		return "ACME", now
	}, func() string { return now.String() })
	got := regexp.MustCompile(`"level":"(\w+)","reader":"ACME"(?:,"text":"([^"]*)")?`).FindAllStringSubmatch(log.String(), -1)
	if len(got) != 3 || got[0][2] != reader.Missing.String() || got[1][1] != "info" || got[2][2] != reader.NoService.String() {
		t.Errorf("%q", log.String())
	}
}
