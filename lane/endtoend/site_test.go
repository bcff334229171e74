package endtoend_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/lane"
	"tapkeeper/lane/lanetest"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/uplinktest/cluster"
	"tapkeeper/uplink/uplinktest/network"
	"tapkeeper/wallet/backend"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// patience bounds every wait of these tests; far above what is usual, for CI.
const patience = 120 * time.Second

// customers are enough that no phone's own history grows long: it writes all of
// it at each tap.
func customers() []lanetest.Person {
	var all []lanetest.Person
	for n := range byte(10) {
		all = append(all, lanetest.Person{ID: fmt.Sprint("rich-", n), Name: "Rich", BalanceMinor: 1_000_000_00, Digits: [2]byte{0x11, n}})
	}
	return all
}

// node is a broker's process, and a line to it from each side.
type node struct {
	*uplinktest.Child
	restart      func()
	till, wallet *network.Line
	scheme       string // of the wallet's address
}

// site is a store with one lane, a wallet as a process, and a broker between them.
type site struct {
	t *testing.T
	*lanetest.Store
	lane   *lane.Lane
	nodes  []*node
	wallet *uplinktest.Child
	log    *os.File
}

// broker is how a site's broker is made.
type broker func(t *testing.T, a *uplinktest.Authority) []*node

const terminalName = lanetest.Merchant + "/" + lanetest.Terminal

func mosquitto(t *testing.T, a *uplinktest.Authority) []*node {
	p := uplinktest.SecureMosquitto(t, a)
	return []*node{{Child: &p.Child, restart: p.Restart, till: line(t, p.Addr()), wallet: line(t, p.WalletAddr()), scheme: "mqtts://"}}
}

func nats(t *testing.T, a *uplinktest.Authority) []*node {
	var all []*node
	for _, n := range cluster.Start(t, a, terminalName).Nodes {
		// The terminal comes by MQTT, the wallet by JetStream.
		all = append(all, &node{Child: &n.Child, restart: n.Restart, till: line(t, n.Addr()), wallet: line(t, n.ClientAddr()), scheme: "tls://"})
	}
	return all
}

func line(t *testing.T, target string) *network.Line {
	t.Helper()
	l, err := network.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// open opens a site and waits until the lane is connected.
func open(t *testing.T, b broker) *site {
	t.Helper()
	// Not t.TempDir: its path can be too long for a socket.
	dir, err := os.MkdirTemp("", "site-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &site{t: t}
	s.Store, err = lanetest.Open(context.Background(), lanetest.Options{
		Dir: dir, People: customers(),
		Limits: lanetest.Limits{SumMinor: 1_000_000_00, DeviceMinor: 1_000_000_00},
	})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Store.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, backend.SaveKeys(s.Path("keys.json"), s.Keys()))
	a := uplinktest.NewAuthority(t)
	s.nodes = b(t, a)
	s.startLane(a) // first: NATS keeps messages for a wallet from its first terminal on
	s.wallet = startWalletd(t, s.Dir, s.urls(func(n *node) string { return n.scheme + n.wallet.Addr() }), a)
	s.eventually("connected", func() bool { st := s.status(); return st.Link.Connected && st.ClockTrusted })
	return s
}

// urls of all nodes, by what of each.
func (s *site) urls(of func(*node) string) string {
	var all []string
	for _, n := range s.nodes {
		all = append(all, of(n))
	}
	return strings.Join(all, ",")
}

// startLane runs the lane in this process.
func (s *site) startLane(a *uplinktest.Authority) {
	s.t.Helper()
	id := a.Issue(terminalName, 0)
	cfg := s.Config()
	cfg.Wallet = lane.WalletConfig{
		Broker: s.urls(func(n *node) string { return "mqtts://" + n.till.Addr() }),
		CAFile: a.CAFile, CertFile: id.CertFile, KeyFile: id.KeyFile, AnswerMS: 500,
	}
	cfg.Bounds.QueriesS = []int{1, 2, 4}
	var err error
	s.log, err = os.Create(s.Path("lane.log"))
	must(s.t, err)
	s.lane, err = lane.Open(cfg, "test", zerolog.New(s.log).With().Timestamp().Logger())
	must(s.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.lane.Run(ctx, func() { close(ready) }); err != nil {
			s.t.Errorf("lane: %v", err)
		}
	})
	s.t.Cleanup(func() {
		stop()
		running.Wait()
		if err := s.lane.Close(); err != nil {
			s.t.Error(err)
		}
		if s.t.Failed() {
			raw, _ := os.ReadFile(s.Path("lane.log"))
			s.t.Logf("the lane's log ends:\n%s\nthe wallet's:\n%s", tail(string(raw)), tail(s.wallet.Output()))
		}
		s.log.Close()
	})
	<-ready
}

func tail(text string) string { return text[max(0, len(text)-6000):] }

func (s *site) status() lane.Status {
	s.t.Helper()
	st, err := s.lane.Status()
	must(s.t, err)
	return st
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited %v until %s: %+v", patience, what, s.status())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fen prints an amount for a failure.
func fen(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }
