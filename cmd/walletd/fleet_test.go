package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/uplinktest/cluster"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/ledger/ledgertest"
	"tapkeeper/wallet/phone"
)

// walletdVar makes the test binary walletd, so that a test can kill it.
const walletdVar = "TAPKEEPER_TEST_WALLETD"

func TestMain(m *testing.M) {
	if os.Getenv(walletdVar) != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(cluster.Main(books{m}))
}

// books stops the database of the tests at their end.
type books struct{ m *testing.M }

func (b books) Run() int { return ledgertest.Main(b.m) }

const (
	fleetPayments  = 500
	fleetTerminals = 4
	fleetWorkers   = 3
	killEvery      = 40 // payments
	// repeatAfter is a terminal's patience; real ones wait 5 s.
	repeatAfter = time.Second
	fleetTime   = 2 * time.Minute
)

// Three workers share the messages of four terminals and the books on PostgreSQL.
// Again and again one is killed in the middle. No payment is lost, none is taken
// twice, and no message gets two different answers.
func TestWorkersMayDie(t *testing.T) {
	if testing.Short() {
		t.Skip("starts brokers and a database")
	}
	t.Run("mosquitto", func(t *testing.T) {
		a := uplinktest.NewAuthority(t)
		m := uplinktest.SecureMosquitto(t, a)
		workersDie(t, a, m.WalletURL(), func(int) string { return m.Addr() })
	})
	t.Run("jetstream", func(t *testing.T) {
		a := uplinktest.NewAuthority(t)
		var names []string
		for n := range fleetTerminals {
			names = append(names, "tea/lane-"+fmt.Sprint(n))
		}
		c := cluster.Start(t, a, names...)
		workersDie(t, a, c.ClientURLs(), func(n int) string { return c.Nodes[n%cluster.Size].Addr() })
	})
}

// workersDie runs the fleet; broker is for the wallet, node for terminal n.
func workersDie(t *testing.T, a *uplinktest.Authority, broker string, node func(n int) string) {
	f := newFleet(t, a, broker)
	for n := range f.terminals {
		f.terminals[n].connect(node(n))
	}
	for n := range f.workers {
		f.workers[n] = f.worker()
	}
	// The wallet need not be there yet: terminals repeat.
	ctx, cancel := context.WithTimeout(t.Context(), fleetTime)
	defer cancel()
	var done atomic.Int64
	var all sync.WaitGroup
	for _, terminal := range f.terminals {
		all.Go(func() { terminal.sell(ctx, &done) })
	}
	kills := 0
	for next := int64(killEvery); next < fleetPayments; next += killEvery {
		for done.Load() < next && ctx.Err() == nil {
			time.Sleep(2 * time.Millisecond)
		}
		w := f.workers[kills%fleetWorkers]
		w.Kill()
		must(t, w.Start())
		kills++
	}
	all.Wait()
	if ctx.Err() != nil {
		for _, w := range f.workers {
			t.Log(w.Output())
		}
		t.Fatalf("%d of %d payments after %v", done.Load(), fleetPayments, fleetTime)
	}
	f.proves(kills)
}

// fleet is a wallet's folder and database, workers and terminals.
type fleet struct {
	*testing.T
	dir, books string
	broker     string
	id         uplinktest.Identity
	ca         string
	workers    [fleetWorkers]*uplinktest.Child
	terminals  [fleetTerminals]*seller
}

func newFleet(t *testing.T, a *uplinktest.Authority, broker string) *fleet {
	f := &fleet{T: t, dir: filepath.Join(t.TempDir(), "wallet"), books: ledgertest.Postgres(t), broker: broker, id: a.Issue("wallet", 0), ca: a.CAFile}
	mustRun(t, "init", "--dir", f.dir, "--ledger", f.books)
	file, err := phone.LoadFile(filepath.Join(f.dir, phonesName, "alice.json"))
	must(t, err)
	alice, err := backendtest.New(file.Cards[0], time.Now)
	must(t, err)
	for n := range f.terminals {
		name := fmt.Sprint("lane-", n)
		f.terminals[n] = &seller{T: t, config: a.Client(a.Issue("tea/"+name, 0)), answers: map[wire.ID]chan []byte{}}
		private, file := terminalKey(t)
		mustRun(t, "enrol", "--dir", f.dir, "--ledger", f.books, "--merchant", "tea", "--terminal", name, "--scheme-terminal", fmt.Sprint("LANE000", n), "--terminal-key", file)
		signing, err := wire.NewSigningKey(private)
		must(t, err)
		f.terminals[n].wire, err = wire.NewTerminal(wire.TerminalKeys{Address: wire.Address{Merchant: "tea", Terminal: name}, Signing: signing,
			WalletSigning:    []ed25519.PublicKey{readPublic[ed25519.PublicKey](t, f.dir, "wallet-signing.pem")},
			WalletEncryption: readPublic[*ecdsa.PublicKey](t, f.dir, "wallet-encryption.pem")})
		must(t, err)
		for i := range fleetPayments / fleetTerminals {
			f.terminals[n].prepare(alice, n, i)
		}
	}
	return f
}

// worker starts one process.
func (f *fleet) worker() *uplinktest.Child {
	w := &uplinktest.Child{Ready: func() error { return nil }, Command: func() *exec.Cmd {
		c := exec.Command("/proc/self/exe", "serve", "--dir", f.dir, "--broker", f.broker, "--share", "wallet",
			"--tls-ca", f.ca, "--tls-cert", f.id.CertFile, "--tls-key", f.id.KeyFile)
		c.Env = append(os.Environ(), walletdVar+"=1", ledgerVar+"="+f.books)
		return c
	}}
	must(f.T, w.Start())
	f.Cleanup(w.Kill)
	return w
}

// proves holds the books against what the terminals were told.
func (f *fleet) proves(kills int) {
	f.Helper()
	if kills < 10 {
		f.Errorf("only %d kills", kills)
	}
	if out := mustRun(f.T, "check", "--dir", f.dir, "--ledger", f.books); out != "the books add up\n" {
		f.Error(out)
	}
	l, err := ledger.Open(f.Context(), f.books)
	must(f.T, err)
	defer l.Close()
	list, err := l.Payments(f.Context(), "tea", "", "")
	must(f.T, err)
	kept, reversed, wanted, repeats := 0, 0, 0, int64(0)
	for _, p := range list {
		switch p.State {
		case ledger.Taken:
			kept++
		case ledger.Reversed:
			reversed++
		default:
			f.Errorf("payment %X is %s", p.ID, p.State)
		}
	}
	for _, s := range f.terminals {
		repeats += s.repeats.Load()
		wanted += s.reversals
	}
	if len(list) != fleetPayments || reversed != wanted {
		f.Errorf("%d payments, %d reversed", len(list), reversed)
	}
	accounts, err := l.Accounts(f.Context())
	must(f.T, err)
	for _, a := range accounts {
		if a.ID == "merchant:tea" && a.BalanceMinor != int64(kept)*saleMinor {
			f.Errorf("the merchant has %d for %d payments", a.BalanceMinor, kept)
		}
	}
	f.Logf("%d payments, %d reversed, %d kills, %d repetitions", len(list), reversed, kills, repeats)
}

const (
	saleMinor    = 10
	sellerWindow = 8
)

// seller is a terminal that does what the contract asks: it repeats a message,
// byte for byte, until the answer to it comes.
type seller struct {
	*testing.T
	wire    *wire.Terminal
	config  *tls.Config
	client  mqtt.Client
	repeats atomic.Int64

	sales     [][]request // messages of a sale follow one another
	reversals int

	mu      sync.Mutex
	answers map[wire.ID]chan []byte // by message
}

type request struct {
	id   wire.ID
	kind wire.Kind
	raw  []byte
}

// prepare makes the messages of a sale; every tenth is reversed.
func (s *seller) prepare(p *phone.Wallet, n, i int) {
	s.Helper()
	now := time.Now()
	payment := wire.ID{0xA0, byte(n), byte(i)}
	rand.Read(payment[8:])
	record, _, err := backendtest.Tap{Payment: payment, Amount: saleMinor, Ask: backendtest.AskARQC, Connected: true, Merchant: "tea",
		Terminal: fmt.Sprint("LANE000", n), At: now, Kind: 2}.Do(p)
	must(s.T, err)
	about := wire.Payment{PaymentID: payment, OrderRef: fmt.Sprint(n, "-", i), AmountMinor: saleMinor, Currency: "CNY",
		BusinessDay: now.Format(time.DateOnly), AcceptedAt: wire.At(now)}
	with := about
	with.RecordKind, with.Record = 2, wire.NewRecord(record)
	sale := []request{s.seal(2*i+1, wire.Authorisation{Payment: with})}
	if i%10 == 0 {
		sale = append(sale, s.seal(2*i+2, wire.Reversal{Payment: about}))
		s.reversals++
	}
	s.sales = append(s.sales, sale)
}

func (s *seller) seal(sequence int, d wire.Data) request {
	s.Helper()
	var id wire.ID
	rand.Read(id[:])
	raw, err := s.wire.Seal(wire.Header{ID: id, Sequence: uint64(sequence), Time: time.Now()}, d)
	must(s.T, err)
	return request{id, d.Kind(), raw}
}

func (s *seller) connect(address string) {
	s.Helper()
	a := s.wire.Address()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		s.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + address).SetClientID(a.Merchant + ":" + a.Terminal).
			SetTLSConfig(s.config).SetAutoReconnect(false).SetProtocolVersion(4).SetOrderMatters(false))
		token := s.client.Connect()
		if token.WaitTimeout(patience) && token.Error() == nil {
			break
		}
		if time.Now().After(end) {
			s.Fatalf("connect: %v", token.Error())
		}
	}
	s.Cleanup(func() { s.client.Disconnect(100) })
	token := s.client.Subscribe(a.DownFilter(), 1, func(_ mqtt.Client, m mqtt.Message) { s.hear(m.Topic(), m.Payload()) })
	if !token.WaitTimeout(patience) || token.Error() != nil {
		s.Fatalf("subscribe: %v", token.Error())
	}
}

// hear hands an answer to who waits for it.
func (s *seller) hear(topic string, payload []byte) {
	m, err := s.wire.Open(topic, payload)
	if err != nil {
		s.Errorf("answer on %s: %v", topic, err)
		return
	}
	answer, _ := wire.Answers(m.Data)
	s.mu.Lock()
	waiting := s.answers[answer.Answers]
	s.mu.Unlock()
	select {
	case waiting <- payload:
	default: // a repetition after the first
	}
}

// sell goes through the sales, several at a time.
func (s *seller) sell(ctx context.Context, done *atomic.Int64) {
	var next atomic.Int64
	var lanes sync.WaitGroup
	for range sellerWindow {
		lanes.Go(func() {
			for n := next.Add(1); n <= int64(len(s.sales)) && ctx.Err() == nil; n = next.Add(1) {
				for _, r := range s.sales[n-1] {
					s.ask(ctx, r)
				}
				done.Add(1)
			}
		})
	}
	lanes.Wait()
}

// ask sends until the receipt is there, and once more: the bytes must be the same.
func (s *seller) ask(ctx context.Context, r request) {
	heard := make(chan []byte, 4)
	s.mu.Lock()
	s.answers[r.id] = heard
	s.mu.Unlock()
	var first []byte
	for n := 0; ctx.Err() == nil; n++ {
		if n > 0 && first == nil {
			s.repeats.Add(1)
		}
		s.client.Publish(s.wire.Address().UpTopic(r.kind), 1, false, r.raw)
		select {
		case a := <-heard:
			if first != nil && string(a) != string(first) {
				s.Errorf("message %s: two answers", r.id)
			}
			m, err := s.wire.Open(s.wire.Address().DownTopic(wire.KindReceipt), a)
			if err != nil || m.Data.(wire.Receipt).Result != wire.Accepted {
				s.Errorf("message %s: %v %v", r.id, err, m)
			}
			if first != nil || n%5 != 0 { // not all twice: half the time would go to it
				return
			}
			first = a
		case <-time.After(repeatAfter):
		case <-ctx.Done():
		}
	}
}
