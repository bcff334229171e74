package endtoend_test

import (
	"context"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

// drained is how many stored payments are drained; TAPKEEPER_DRAIN changes it.
const drained = 20_000

// BenchmarkDrain empties an outbox of stored payments into a wallet, with broker,
// walletd and terminal on this machine, TLS between all of them: the rate, beside
// what the cores could do if they did only the public-key operations of it, and
// beside the library's own pipelined publish rate to the same broker.
func BenchmarkDrain(b *testing.B) {
	n := drained
	if v, err := strconv.Atoi(os.Getenv("TAPKEEPER_DRAIN")); err == nil && v > 0 {
		n = v
	}
	for range b.N {
		drain(b, n)
	}
}

func drain(b *testing.B, n int) {
	b.StopTimer()
	dir := b.TempDir()
	l := newLoad(b, dir)
	began := time.Now()
	box := l.stored(n)
	b.Logf("%d payments stored in %v", n, time.Since(began).Round(time.Millisecond))
	if err := l.ledger.Close(); err != nil { // walletd has it from here
		b.Fatal(err)
	}
	a := uplinktest.NewAuthority(b)
	m := uplinktest.SecureMosquitto(b, a)
	w := startWalletd(b, dir, m.WalletURL(), a)
	till := a.Issue(loadAddress.Merchant+"/"+loadAddress.Terminal, 0)
	publishing := pipelined(b, m, a.Client(till).Clone, 5000)
	link, err := uplink.New(uplink.Config{Broker: m.URL(), Terminal: l.terminal, Handle: box.handle, Handlers: 32,
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
	before := [3]time.Duration{own(), w.CPU(), m.CPU()}
	b.StartTimer()
	began = time.Now()
	running.Go(func() { _ = link.Forward(ctx, box) })
	select {
	case <-box.done:
	case <-time.After(20 * time.Minute):
		b.Fatalf("%d are left: %+v", box.left.Load(), link.Status())
	}
	took := time.Since(began)
	b.StopTimer()
	after := [3]time.Duration{own(), w.CPU(), m.CPU()}
	stop()
	rate := float64(n) / took.Seconds()
	possible, each := newPublicKey(b).settlingRate(2 * time.Second)
	b.ReportMetric(rate, "payments/s")
	b.ReportMetric(possible, "publickey-only/s")
	b.ReportMetric(rate/possible, "of-publickey")
	used := time.Duration(0)
	for i, name := range []string{"terminal-us", "walletd-us", "broker-us"} {
		used += after[i] - before[i]
		b.ReportMetric(float64((after[i]-before[i]).Microseconds())/float64(n), name)
	}
	b.ReportMetric(float64(each.Microseconds()), "publickey-us")
	// The same ratio by processor time, which a busy machine does not spoil.
	b.ReportMetric(each.Seconds()*float64(n)/used.Seconds(), "of-publickey-by-cpu")
	b.ReportMetric(publishing, "publishes/s")
	b.ReportMetric(rate/publishing, "of-publishes")
}

// own is the processor time of this process.
func own() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// pipelined is how many messages of a payment's size a second the library
// publishes with QoS 1, a window of 32 in flight.
func pipelined(b *testing.B, m *uplinktest.Process, config configOf, n int) float64 {
	b.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + m.Addr()).SetProtocolVersion(4).SetAutoReconnect(false).
		SetClientID("bench").SetTLSConfig(config()))
	if t := c.Connect(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		b.Fatal(t.Error())
	}
	defer c.Disconnect(100)
	body := make([]byte, 3500)
	topic := loadAddress.UpTopic(wire.KindCommand) // nobody handles it
	var window []mqtt.Token
	began := time.Now()
	for range n {
		window = append(window, c.Publish(topic, 1, false, body))
		if len(window) == 32 {
			window[0].Wait()
			window = window[1:]
		}
	}
	for _, t := range window {
		t.Wait()
	}
	return float64(n) / time.Since(began).Seconds()
}
