package endtoend_test

import (
	"context"
	"crypto/tls"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
)

// asked is how many authorisations a benchmark asks for.
const asked = 600

// BenchmarkAuthorisation asks a wallet over the link, from the sealed message to
// the verified answer, and beside it, in turn, does what no implementation can
// save: a bare round trip of the library over the same broker, with messages of the
// same size, and the contract's public-key operations. The overhead is the rest:
// codecs, link, walletd, ledger. The ledger is in memory; what its syncs add on
// this machine's disk is told apart. The journal has no part in it.
func BenchmarkAuthorisation(b *testing.B) {
	for range b.N {
		inMemory := "/dev/shm"
		if _, err := os.Stat(inMemory); err != nil {
			b.Skip("no /dev/shm: the ledger's syncs could not be told apart")
		}
		whole, bare, keys, rest := authorisations(b, inMemory, asked)
		onDisk, _, _, _ := authorisations(b, "", asked/3)
		for name, list := range map[string][]time.Duration{"whole": whole, "bare": bare, "publickey": keys} {
			b.ReportMetric(ms(list, 50), name+"-p50-ms")
			b.ReportMetric(ms(list, 99), name+"-p99-ms")
		}
		b.ReportMetric(ms(whole, 50)-ms(rest, 50), "overhead-p50-ms")
		b.ReportMetric(ms(whole, 99)-ms(rest, 99), "overhead-p99-ms")
		b.ReportMetric(ms(onDisk, 50)-ms(whole, 50), "ledger-sync-p50-ms")
		b.ReportMetric(ms(onDisk, 99)-ms(whole, 99), "ledger-sync-p99-ms")
	}
}

// ms is a percentile.
func ms(list []time.Duration, percent int) float64 {
	slices.Sort(list)
	return float64(list[len(list)*percent/100].Microseconds()) / 1000
}

// authorisations measures n of them; rest is bare and keys together, each time.
func authorisations(b *testing.B, parent string, n int) (whole, bare, keys, rest []time.Duration) {
	b.Helper()
	dir, err := os.MkdirTemp(parent, "authorisations-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l := newLoad(b, dir)
	payments := make([]wire.Payment, n)
	for i := range payments {
		if i%tapsAPhone == 0 {
			who := l.customer()
			for j := i; j < min(i+tapsAPhone, n); j++ {
				if payments[j], err = l.paid(j, who, backendtest.AskARQC, 2); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	if err := l.ledger.Close(); err != nil {
		b.Fatal(err)
	}
	a := uplinktest.NewAuthority(b)
	m := uplinktest.SecureMosquitto(b, a)
	w := startWalletd(b, dir, m.WalletURL(), a)
	defer w.Kill()
	till := a.Issue(loadAddress.Merchant+"/"+loadAddress.Terminal, 0)
	link, err := uplink.New(uplink.Config{Broker: m.URL(), Terminal: l.terminal,
		Files: uplink.Files{CA: a.CAFile, Cert: till.CertFile, Key: till.KeyFile}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = link.Run(ctx) })
	for !link.Connected() {
		time.Sleep(time.Millisecond)
	}
	bench, public := newBareTrip(b, a, till), newPublicKey(b)
	for i, p := range payments {
		began := time.Now()
		id := wire.ID{0: 3, 14: byte(i >> 8), 15: byte(i)}
		body, err := l.terminal.Seal(wire.Header{ID: id, Sequence: uint64(i + 1), Time: l.now}, wire.Authorisation{Payment: p})
		if err != nil {
			b.Fatal(err)
		}
		answer, err := link.Ask(ctx, wire.KindAuthorisation, id, body)
		if err != nil {
			b.Fatal(err)
		}
		asked := time.Since(began)
		if r, ok := answer.Data.(wire.Receipt); !ok || r.Result != wire.Accepted {
			b.Fatalf("authorisation %d: %+v", i, answer.Data)
		}
		tripped := bench.trip(b, len(body), len(answer.Raw))
		began = time.Now()
		public.sealing()
		public.settling()
		computed := time.Since(began)
		whole, bare, keys = append(whole, asked), append(bare, tripped), append(keys, computed)
		rest = append(rest, tripped+computed)
	}
	return whole, bare, keys, rest
}

// bareTrip is two clients of the library on a broker of their own.
type bareTrip struct {
	till, wallet mqtt.Client
	back         chan struct{}
	answer       []byte
}

func newBareTrip(b *testing.B, a *uplinktest.Authority, till uplinktest.Identity) *bareTrip {
	b.Helper()
	m := uplinktest.SecureMosquitto(b, a)
	t := &bareTrip{back: make(chan struct{}, 1)}
	t.till = bareClient(b, m.Addr(), "till", a.Client(till), func(mqtt.Client, mqtt.Message) { t.back <- struct{}{} })
	t.wallet = bareClient(b, m.WalletAddr(), "wallet", a.Client(a.Issue("wallet", 0)), func(c mqtt.Client, _ mqtt.Message) {
		c.Publish(loadAddress.DownTopic(wire.KindReceipt), 1, false, t.answer)
	})
	for c, filter := range map[mqtt.Client]string{t.till: loadAddress.DownFilter(), t.wallet: wire.UpFilter} {
		if k := c.Subscribe(filter, 1, nil); !k.WaitTimeout(5*time.Second) || k.Error() != nil {
			b.Fatal(k.Error())
		}
	}
	return t
}

func bareClient(b *testing.B, addr, id string, c *tls.Config, got mqtt.MessageHandler) mqtt.Client {
	b.Helper()
	cl := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + addr).SetClientID(id).SetProtocolVersion(4).
		SetAutoReconnect(false).SetTLSConfig(c).SetDefaultPublishHandler(got))
	if k := cl.Connect(); !k.WaitTimeout(5*time.Second) || k.Error() != nil {
		b.Fatal(k.Error())
	}
	b.Cleanup(func() { cl.Disconnect(50) })
	return cl
}

func (t *bareTrip) trip(b *testing.B, up, down int) time.Duration {
	b.Helper()
	t.answer = make([]byte, down)
	began := time.Now()
	t.till.Publish(loadAddress.UpTopic(wire.KindAuthorisation), 1, false, make([]byte, up))
	select {
	case <-t.back:
	case <-time.After(10 * time.Second):
		b.Fatal("the bare trip has no end")
	}
	return time.Since(began)
}
