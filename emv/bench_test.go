//go:build unix

package emv

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"syscall"
	"testing"
	"time"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
)

// cpu is the processor time of this process: a busy machine does not change it.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// operations are the public-key operations of scheme 13 as the standard library
// has them, each from what is there before it.
type operations struct {
	scalar     []byte
	private    *ecdh.PrivateKey
	peer       *ecdh.PublicKey
	compressed [33]byte
	signer     *ecdsa.PrivateKey
	digest     [32]byte
	der        []byte
}

func newOperations(tb testing.TB) *operations {
	o := &operations{digest: sha256.Sum256([]byte("tap"))}
	var errs [4]error
	o.private, errs[0] = ecdh.P256().GenerateKey(rand.Reader)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	o.signer, errs[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	errs[2] = err
	o.der, errs[3] = ecdsa.SignASN1(rand.Reader, o.signer, o.digest[:])
	for _, err := range errs {
		if err != nil {
			tb.Fatal(err)
		}
	}
	o.scalar, o.peer, o.compressed = o.private.Bytes(), peer.PublicKey(), channel.Compress(peer.PublicKey())
	return o
}

func (o *operations) readKey() bool { _, err := ecdh.P256().NewPrivateKey(o.scalar); return err == nil }
func (o *operations) agree() bool   { _, err := o.private.ECDH(o.peer); return err == nil }
func (o *operations) lift() bool {
	_, err := channel.PointCompressed(o.compressed[:])
	return err == nil
}
func (o *operations) verify() bool {
	return ecdsa.VerifyASN1(&o.signer.PublicKey, o.digest[:], o.der)
}

// batch is how many of each are measured in turn, so that whatever else the
// machine does meets all of them alike.
const batch = 8

// offlineApproval keeps one dialogue and lets go of the others: the collector
// would count them as the kernel's garbage.
func offlineApproval(b *testing.B) emvtest.Dialogue {
	list, err := emvtest.Dialogues()
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range list {
		if approved(d) && !d.Terminal.Connected {
			return d
		}
	}
	b.Skip("these vectors hold no offline approval")
	return emvtest.Dialogue{}
}

// BenchmarkTap measures the kernel's processor time in a tap that is approved
// offline, beside the public-key operations that the scheme demands for it, each
// alone. x-keys-ready counts those whose keys are ready: the key pair dk, two
// agreements (z, blinding), and the verification of device, grant and evidence,
// cold also of the issuer. x-demanded counts what scheme 13 demands to get those
// keys too: the point behind Pc.x, Qs, Qd, cold also Q_I and the CA's, and the
// private key that the blinding check makes of r.
func BenchmarkTap(b *testing.B) {
	d := offlineApproval(b)
	for _, way := range []struct {
		name          string
		cold          bool
		verify, lifts float64
	}{{"cold", true, 4, 5}, {"issuer certificate cached", false, 3, 3}} {
		b.Run(way.name, func(b *testing.B) {
			s, o := newStage(d), newOperations(b)
			if way.cold {
				s.terminal.Issuers = nil
			}
			p := newPlayer(b, s, d.Sales[0])
			p.play(b, true)           // fills the cache
			var clock []time.Duration // of whole taps: what the neighbours do is in it
			var tap, readKey, agree, lift, verify time.Duration
			measure := func(into *time.Duration, what func() bool) {
				start := cpu(b)
				for range batch {
					if !what() {
						b.Fatal("an operation failed")
					}
				}
				*into += cpu(b) - start
			}
			n := 0
			for b.Loop() {
				measure(&tap, func() bool {
					start := time.Now()
					p.play(b, true)
					clock = append(clock, time.Since(start))
					return true
				})
				measure(&readKey, o.readKey)
				measure(&agree, o.agree)
				measure(&lift, o.lift)
				measure(&verify, o.verify)
				n += batch
			}
			us := func(t time.Duration) float64 { return float64(t.Nanoseconds()) / 1000 / float64(n) }
			ready := us(readKey) + 2*us(agree) + way.verify*us(verify)
			demanded := ready + us(readKey) + way.lifts*us(lift)
			b.ReportMetric(us(tap), "cpu-us/tap")
			b.ReportMetric(percentile(clock, 50), "p50-us/tap")
			b.ReportMetric(percentile(clock, 99), "p99-us/tap")
			b.ReportMetric(us(readKey), "keypair-us")
			b.ReportMetric(us(agree), "ecdh-us")
			b.ReportMetric(us(lift), "lift-us")
			b.ReportMetric(us(verify), "verify-us")
			b.ReportMetric(demanded, "demanded-us/tap")
			b.ReportMetric(us(tap)/demanded, "x-demanded")
			b.ReportMetric(us(tap)/ready, "x-keys-ready")
			b.ReportAllocs()
			b.ReportMetric(testing.AllocsPerRun(20, func() { p.play(b, true) }), "allocs/op")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(0, "B/op")
		})
	}
}

// BenchmarkTurn measures what the kernel adds between an answer of the phone and
// the next command, on the clock. Work of a step costs only what it takes longer
// than the phone, whose times are those of the vectors. The issuer is cached and
// the key pair made ahead, as in a running terminal.
func BenchmarkTurn(b *testing.B) {
	d := offlineApproval(b)
	for _, way := range []struct {
		name string
		work bool
	}{{"work beside the phone", true}, {"without", false}} {
		b.Run(way.name, func(b *testing.B) {
			p := newPlayer(b, newStage(d), d.Sales[0])
			p.play(b, way.work)
			p.clock = true
			for b.Loop() {
				p.play(b, way.work)
			}
			b.ReportMetric(percentile(p.turns, 50), "p50-us/turn")
			b.ReportMetric(percentile(p.turns, 99), "p99-us/turn")
			b.ReportMetric(percentile(p.last, 50), "p50-us-to-generate-ac")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func percentile(times []time.Duration, n int) float64 {
	slices.Sort(times)
	return float64(times[len(times)*n/100].Nanoseconds()) / 1000
}

// player plays one recorded tap again and again.
type player struct {
	stage   *stage
	sale    emvtest.Sale
	moment  Moment
	lookups Lookups
	clock   bool            // note the times; otherwise asking for them costs nothing
	late    time.Duration   // what work took longer than the phone
	turns   []time.Duration // between an answer and the next command, but for GENERATE AC
	last    []time.Duration // between the last record and GENERATE AC, without the storing
}

func newPlayer(b *testing.B, s *stage, sale emvtest.Sale) *player {
	return &player{stage: s, sale: sale, moment: s.moment(b, sale), lookups: s.lookups()}
}

func (p *player) play(b *testing.B, work bool) {
	random := &draws{TerminalDraws: p.sale.Draws}
	ahead, err := NewKeyPair(random)
	if err != nil {
		b.Fatal(err)
	}
	attempt, _ := Begin(p.stage.terminal, saleOf(p.sale), p.lookups)
	x := attempt.Activate(p.moment, random)
	x.UseKey(ahead)
	step := x.Start()
	for _, exchange := range p.sale.Taps[0].Steps {
		took := time.Duration(exchange.US) * time.Microsecond
		if step.Work != nil && work {
			start := p.now()
			step.Work()
			p.late = max(0, p.now().Sub(start)-took)
		}
		random.last = exchange.CAPDU[1]
		start, into := p.now(), &p.turns
		step = x.Answer(exchange.RAPDU, took)
		if step.Store != nil {
			step, into = x.Stored(), &p.last
		}
		if step.Send != nil && p.clock {
			*into = append(*into, p.late+p.now().Sub(start))
		}
		p.late = 0
	}
	if step.Outcome == nil || step.Outcome.Result != Approved {
		b.Fatalf("%+v", step)
	}
}

func (p *player) now() time.Time {
	if !p.clock {
		return time.Time{}
	}
	return time.Now()
}
