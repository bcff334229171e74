package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/uplink/conform"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire/wiretest"
)

// server is walletd serving in this process.
type server struct {
	args []string
	stop context.CancelFunc
	done chan int
	log  *output
}

func (s *server) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop, s.done, s.log = cancel, make(chan int, 1), &output{}
	go func() { s.done <- run(ctx, s.args, s.log, s.log) }()
	t.Cleanup(cancel)
	for end := time.Now().Add(patience); !strings.Contains(s.log.String(), `"ready"`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("serve is not ready:\n%s", s.log)
		}
	}
}

// end stops it and waits.
func (s *server) end(t *testing.T) {
	s.stop()
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Errorf("serve did not stop:\n%s", s.log)
	}
}

// walletd keeps the whole contract over a real broker, also across its restarts.
func TestWalletdConforms(t *testing.T) {
	broker := uplinktest.Mosquitto(t)
	dir, kit := filepath.Join(t.TempDir(), "wallet"), filepath.Join(t.TempDir(), "kit")
	mustRun(t, "init", "--dir", dir)
	mustRun(t, "conform-kit", "--dir", dir, "--out", kit)
	if code, _, stderr := walletd(t, "conform-kit", "--dir", dir, "--out", kit); code != exitConfig {
		t.Errorf("a second kit in the same folder: exit %d, %s", code, stderr)
	}
	s := &server{args: []string{"serve", "--dir", dir, "--broker", broker.URL()}}
	s.start(t)
	k, err := conform.LoadKit(kit)
	must(t, err)
	watch := wiretest.Watch(t)
	var warned atomic.Bool
	report, err := conform.Run(t.Context(), conform.Config{Broker: broker.URL(), Kit: k, Quiet: 100 * time.Millisecond,
		Seen: func(topic string, payload []byte) {
			watch(topic, payload)
			if strings.HasSuffix(topic, "/down/hotlist") {
				warned.Store(true)
			}
		},
		Restart: func(context.Context) error {
			s.end(t)
			s.start(t)
			return nil
		}})
	must(t, err)
	for _, c := range report.Cases {
		if c.Outcome != conform.Passed {
			t.Errorf("%d %s: %s %s", c.Number, c.Name, c.Outcome, c.Why)
		}
	}
	if !warned.Load() {
		t.Error("no terminal was warned of the cloned phone")
	}
	s.end(t)
	if text := mustRun(t, "check", "--dir", dir); text != "the books add up\n" {
		t.Errorf("check: %s", text)
	}
}

// The suite gets through a broker that guards its terminals: TLS 1.3, a
// certificate for each, and rules that let each write and read its own topics.
func TestWalletdConformsBehindAGuardedBroker(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite runs on an open broker already")
	}
	authority := uplinktest.NewAuthority(t)
	broker := uplinktest.SecureMosquitto(t, authority)
	dir, kit := filepath.Join(t.TempDir(), "wallet"), filepath.Join(t.TempDir(), "kit")
	mustRun(t, "init", "--dir", dir)
	mustRun(t, "conform-kit", "--dir", dir, "--out", kit)
	var f struct {
		Terminals map[string]struct{ Merchant, Terminal string }
	}
	text, err := os.ReadFile(filepath.Join(kit, "kit.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &f))
	for role, terminal := range f.Terminals {
		id := authority.Issue(terminal.Merchant+"/"+terminal.Terminal, 0)
		must(t, os.Rename(id.CertFile, filepath.Join(kit, role+".crt")))
		must(t, os.Rename(id.KeyFile, filepath.Join(kit, role+".key")))
	}
	own := authority.Issue("wallet", 0)
	s := &server{args: []string{"serve", "--dir", dir, "--broker", broker.WalletURL(), "--tls-ca", authority.CAFile,
		"--tls-cert", own.CertFile, "--tls-key", own.KeyFile}}
	s.start(t)
	defer s.end(t)
	k, err := conform.LoadKit(kit)
	must(t, err)
	report, err := conform.Run(t.Context(), conform.Config{Broker: broker.URL(), TLS: &tls.Config{RootCAs: authority.Roots}, Kit: k,
		Only: []int{1, 4, 5, 10, 11, 43, 50, 81, 82, 92, 97, 98, 120, 130}, Quiet: 100 * time.Millisecond})
	must(t, err)
	for _, c := range report.Cases {
		if c.Outcome != conform.Passed {
			t.Errorf("%d %s: %s %s", c.Number, c.Name, c.Outcome, c.Why)
		}
	}
}
