package main

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

// New files are taken by the next connection; files that do not fit together, as
// in the middle of a change, leave the last good ones in use.
func TestFilesOfTLS(t *testing.T) {
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	id := a.Issue("wallet", 10*24*time.Hour)
	b, err := parseBroker(m.WalletURL())
	must(t, err)
	v := serving{ca: a.CAFile, cert: id.CertFile, key: id.KeyFile}
	must(t, v.certificates(b.tls))
	connects := func() {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		up := make(chan struct{})
		l := &link{broker: b, clientID: "w", filter: wire.UpFilter, workers: 1, log: zerolog.New(io.Discard), ready: func() { close(up) }}
		done := make(chan struct{})
		go func() { defer close(done); l.run(ctx) }()
		select {
		case <-up:
		case <-time.After(10 * time.Second):
			t.Error("no connection")
		}
		cancel()
		<-done
	}
	connects()
	first, end, _ := b.tls.state()
	if time.Until(end) > warnAhead {
		t.Errorf("ends %v", end)
	}
	old, err := os.ReadFile(id.KeyFile)
	must(t, err)
	a.Issue("wallet", 90*24*time.Hour)
	renewed, err := os.ReadFile(id.KeyFile)
	must(t, err)
	must(t, os.WriteFile(id.KeyFile, old, 0o600))
	connects()
	if stamp, _, reason := b.tls.state(); stamp != first || reason == nil {
		t.Errorf("half a change is taken: %v", reason)
	}
	must(t, os.WriteFile(id.KeyFile, renewed, 0o600))
	connects()
	if stamp, end, reason := b.tls.state(); stamp == first || reason != nil || time.Until(end) < warnAhead {
		t.Errorf("the new files are not taken: %v", reason)
	}
	for name, v := range map[string]serving{
		"no key":     {cert: id.CertFile},
		"no file":    {ca: "/nowhere"},
		"wrong file": {ca: id.KeyFile},
	} {
		other, err := parseBroker(m.WalletURL())
		must(t, err)
		if v.certificates(other.tls) == nil {
			t.Errorf("%s: passes", name)
		}
	}
}
