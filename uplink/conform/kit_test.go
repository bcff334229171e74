package conform

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/uplink/wire/wiretest"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

// handler is a wallet behind a broker.
type handler interface {
	Handle(ctx context.Context, topic string, payload []byte) ([]backend.Publication, error)
}

// bench is the reference wallet on a broker in the process, with a kit.
type bench struct {
	*testing.T
	broker *uplinktest.Broker
	dir    string
	keys   *backend.Keys
	ledger *ledger.Ledger

	mu     sync.Mutex
	wallet handler
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir()}
	issuer, err := backend.NewIssuer(time.Now(), rand.Reader)
	b.must(err)
	b.keys, err = backend.NewKeys(issuer, rand.Reader)
	b.must(err)
	b.open()
	t.Cleanup(func() {
		if findings, err := b.ledger.Check(context.Background()); err != nil || len(findings) > 0 {
			t.Errorf("the books after the suite: %v %q", err, findings)
		}
		b.ledger.Close()
	})
	b.broker, err = uplinktest.NewBroker(uplinktest.Options{})
	b.must(err)
	t.Cleanup(b.broker.Stop)
	b.must(b.broker.Serve(wire.UpFilter, func(topic string, payload []byte) []uplinktest.Publication {
		b.mu.Lock()
		w := b.wallet
		b.mu.Unlock()
		out, _ := w.Handle(context.Background(), topic, payload) // what is rejected has no answer
		var answers []uplinktest.Publication
		for _, p := range out {
			answers = append(answers, uplinktest.Publication{Topic: p.Topic, Payload: p.Payload})
		}
		return answers
	}))
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// open opens the books and starts a wallet on them.
func (b *bench) open() {
	b.Helper()
	l, err := ledger.Open(b.Context(), filepath.Join(b.dir, "ledger.db"))
	b.must(err)
	b.ledger = l
	b.use(b.service())
}

func (b *bench) service() *backend.Service {
	b.Helper()
	verifier, err := b.keys.Issuer.Verifier()
	b.must(err)
	s, err := backend.NewService(backend.Config{Ledger: b.ledger, Verifier: verifier, Signing: b.keys.Signing, Decryption: b.keys.Decryption})
	b.must(err)
	return s
}

func (b *bench) use(h handler) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wallet = h
}

// kit makes a fresh kit of this wallet.
func (b *bench) kit() *Kit {
	b.Helper()
	dir := b.TempDir()
	b.must(backend.WriteTestKit(b.Context(), b.ledger, b.keys, dir, "CNY", time.Now()))
	k, err := LoadKit(dir)
	b.must(err)
	return k
}

// config of a run against this bench.
func (b *bench) config(k *Kit) Config {
	return Config{Broker: b.broker.URL(), Kit: k, Quiet: 50 * time.Millisecond, Seen: wiretest.Watch(b),
		Restart: func(context.Context) error {
			b.ledger.Close()
			b.open()
			return nil
		}}
}
