//go:build cgo && !nopcsc

package pcsc

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/emv/emvtest"
	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

// BenchmarkTap makes the same tap twice in turn, over a real pcscd: once through the kernel and this package, and once
// as the bare replay of the same APDUs through scard. The phone is a dialogue of the scheme's vectors, and answers in the
// times that the vectors give it (193 ms in all), which are like those of a real phone; beside it, the same with a phone
// that needs no time, where all that is ours shows.
func BenchmarkTap(b *testing.B) {
	p := readertest.VPCD(b)
	d := offlineApproval(b)
	phone := &playback{steps: d.Sales[0].Taps[0].Steps}
	field := tcp(p)
	if err := field.Present(phone); err != nil {
		b.Fatal(err)
	}
	defer field.Remove()
	r := realService(b).Reader(p.Reader)
	defer r.Close()
	bare, err := lite{}.establish()
	if err != nil {
		b.Fatal(err)
	}
	defer bare.release()
	ours := newTill(d)
	ours.tap(b, r) // fills the cache of issuer certificates, and lets pcscd see the card
	for _, way := range []struct {
		name string
		slow bool
	}{{"phone of the vectors", true}, {"phone that needs no time", false}} {
		b.Run(way.name, func(b *testing.B) {
			phone.setSlow(way.slow)
			var through, replayed []time.Duration
			for b.Loop() {
				for range pairs {
					start := time.Now()
					ours.tap(b, r)
					through = append(through, time.Since(start))
					start = time.Now()
					replay(b, bare, p.Reader, phone.steps)
					replayed = append(replayed, time.Since(start))
				}
			}
			kernel, naked := reader.SpreadOf(through), reader.SpreadOf(replayed)
			ratio := float64(kernel.P50) / float64(naked.P50)
			b.ReportMetric(float64(kernel.P50.Microseconds()), "kernel-p50-us")
			b.ReportMetric(float64(kernel.P99.Microseconds()), "kernel-p99-us")
			b.ReportMetric(float64(naked.P50.Microseconds()), "replay-p50-us")
			b.ReportMetric(ratio, "ratio")
			b.ReportMetric(0, "ns/op")
			if way.slow && ratio > maxRatio {
				b.Errorf("a tap through the kernel takes %.3f times the bare replay, want at most %.2f", ratio, maxRatio)
			}
		})
	}
}

const (
	maxRatio = 1.05
	// pairs is how many taps one round has at least: one alone says nothing about the ratio.
	pairs = 15
)

func offlineApproval(b *testing.B) emvtest.Dialogue {
	list, err := emvtest.Dialogues()
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range list {
		if d.ID == "offline-approve" {
			return d
		}
	}
	b.Fatal("the vectors have no dialogue offline-approve")
	return emvtest.Dialogue{}
}

// playback is a phone that knows one dialogue.
type playback struct {
	steps []emvtest.Step

	mu   sync.Mutex
	slow bool
	next int
}

func (p *playback) setSlow(slow bool) { p.mu.Lock(); defer p.mu.Unlock(); p.slow = slow }
func (p *playback) PowerOn()          { p.mu.Lock(); defer p.mu.Unlock(); p.next = 0 }
func (p *playback) PowerOff()         {}

func (p *playback) Transmit(command []byte) []byte {
	start := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == len(p.steps) || !bytes.Equal(command, p.steps[p.next].CAPDU) {
		return []byte{0x6F, 0x00}
	}
	step := p.steps[p.next]
	p.next++
	if p.slow {
		time.Sleep(time.Until(start.Add(time.Duration(step.US) * time.Microsecond)))
	}
	return step.RAPDU
}

func replay(b *testing.B, l link, name string, steps []emvtest.Step) {
	b.Helper()
	h, err := l.connect(name)
	if err != nil {
		b.Fatal(err)
	}
	for _, step := range steps {
		answer, err := h.transmit(step.CAPDU)
		if err != nil || !bytes.Equal(answer, step.RAPDU) {
			b.Fatalf("replay: %x, %v", answer, err)
		}
	}
	if err := h.disconnect(); err != nil {
		b.Fatal(err)
	}
}

// till drives the kernel as a terminal does, with the surroundings of a dialogue.
type till struct {
	d        emvtest.Dialogue
	terminal *emv.Terminal
}

func newTill(d emvtest.Dialogue) *till {
	v := d.Terminal
	t := &emv.Terminal{
		ID: v.TerminalID, MerchantID: v.MerchantID, OfflineOnly: v.OfflineOnly, Unattended: v.Unattended, Issuers: &emv.IssuerCache{},
		Relay: emv.Relay{Command: v.Relay.Cx, Answer: v.Relay.Rx, MinGrace: v.Relay.MinGrace, MaxGrace: v.Relay.MaxGrace,
			Accuracy: v.Relay.Acc, Mismatch: v.Relay.Mismatch},
	}
	for _, a := range v.AIDs {
		t.AIDs = append(t.AIDs, emv.AID{
			AID: a.AID, Enabled: a.Enabled, Currency: digits(a.Currency), Country: digits(a.Country), TxLimit: (*emv.Amount)(a.TxLimit),
			FloorLimit: (*emv.Amount)(a.FloorLimit), CVMLimit: (*emv.Amount)(a.CVMLimit), RelayLimit: (*emv.Amount)(a.RelayLimit),
			ZeroAllowed: a.ZeroAllowed, OnlineFirst: a.Mode == "online_first", TACDenial: emv.TVR(a.TACDenial),
			TACOnline: emv.TVR(a.TACOnline), TACDefault: emv.TVR(a.TACDefault), CRLMaxAgeDays: a.CRLMaxAgeDays,
		})
	}
	for _, k := range v.CAKeys {
		t.CAKeys = append(t.CAKeys, emv.CAKey{RID: [5]byte(k.RID), Index: k.Index, Key: [33]byte(k.Key)})
	}
	return &till{d, t}
}

func digits(b []byte) (c emv.Code) {
	for _, d := range b {
		c = c*100 + emv.Code(d>>4)*10 + emv.Code(d&0x0F)
	}
	return c
}

// Nobody is revoked, listed or known, and nothing is full.
func (*till) Revoked([5]byte, byte, uint32, *[6]byte) bool { return false }
func (*till) Listed(emv.DeviceID) bool                     { return false }
func (*till) Seen(emv.DeviceID) (emv.Seen, bool)           { return emv.Seen{}, false }
func (*till) Full(emv.DeviceID, emv.Amount) bool           { return false }

// tap makes the dialogue's sale. The kernel is told the vectors' times, because its answer depends on them.
func (t *till) tap(b *testing.B, r *Reader) {
	b.Helper()
	card := await(b, r)
	defer card.Release(0)
	sale := t.d.Sales[0]
	steps := sale.Taps[0].Steps
	attempt, refused := emv.Begin(t.terminal, emv.Sale{
		ID: [16]byte(sale.Draws.TxID[0]), Amount: emv.Amount(sale.Amount), Kind: emv.Kind(sale.Type.Byte()), Currency: digits(sale.Currency),
	}, emv.Lookups{Revocations: t, Exceptions: t, History: t, Exposure: t})
	if refused != nil {
		b.Fatal(refused.Detail)
	}
	local, err := time.Parse("060102150405", sale.Date+sale.Time)
	if err != nil {
		b.Fatal(err)
	}
	random := &drawn{TerminalDraws: sale.Draws}
	x := attempt.Activate(emv.Moment{Local: local, ClockTrusted: t.d.Terminal.ClockTrusted, CRLAgeDays: t.d.Terminal.CRLAgeDays, Connected: t.d.Terminal.Connected}, random)
	step := x.Start()
	for n := 0; step.Outcome == nil; {
		if step.Store != nil {
			step = x.Stored()
			continue
		}
		command := step.Send.Bytes()
		random.last = command[1]
		worked := make(chan struct{})
		go func() {
			defer close(worked)
			if step.Work != nil {
				step.Work()
			}
		}()
		answer, _, err := card.Transmit(b.Context(), command)
		<-worked
		if err != nil {
			b.Fatal(err)
		}
		step = x.Answer(answer, time.Duration(steps[n].US)*time.Microsecond)
		n++
	}
	if got := fmt.Sprint(step.Outcome.Result); got != sale.Taps[0].Outcome.Outcome {
		b.Fatalf("outcome %s: %s", got, step.Outcome.Detail)
	}
}

// drawn serves a sale's random values as the vectors order them (scheme 5.3).
type drawn struct {
	emvtest.TerminalDraws
	last byte
}

func (d *drawn) Read(p []byte) (int, error) {
	list := &d.UN
	switch {
	case len(p) == 32:
		list = &d.DK
	case d.last == 0xA8 || d.last == 0xEA:
		list = &d.TRRE
	}
	if len(*list) == 0 || len((*list)[0]) != len(p) {
		return 0, io.ErrUnexpectedEOF
	}
	copy(p, (*list)[0])
	*list = (*list)[1:]
	return len(p), nil
}

// BenchmarkRecovery is how long the next phone waits after each fault that a driver can report, and after pcscd itself
// was ended, killed or frozen.
func BenchmarkRecovery(b *testing.B) {
	l := lab(b)
	s := realService(b)
	d := acr122("")
	l.Plug(d)
	r := s.Reader(acrName)
	defer r.Close()
	for _, f := range []struct {
		name    string
		failure readertest.Failure
		want    error
	}{
		{"removed", readertest.Removed, reader.ErrCardGone}, {"field lost", readertest.FieldLost, reader.ErrCardGone},
		{"communication error", readertest.Garbled, reader.ErrCardGone}, {"silent", readertest.Silent, reader.ErrCardGone},
		{"answer of one byte", readertest.Short, nil},
	} {
		b.Run(f.name, func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				took = append(took, failAt(b, r, d.Slot(0), 1+i%tapLength, f.name, f.failure, f.want, time.Second))
			}
			spread := reader.SpreadOf(took)
			b.ReportMetric(float64(spread.P50.Milliseconds()), "recovery-p50-ms")
			b.ReportMetric(float64(spread.Max.Milliseconds()), "recovery-max-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
	again := func(name string, harm func()) {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				var phone readertest.Loop
				_ = d.Slot(0).Present(&phone)
				harm()
				start := time.Now()
				for {
					card := await(b, r)
					_, _, err := card.Transmit(b.Context(), sel)
					_ = card.Release(0)
					if err == nil {
						break
					}
				}
				took = append(took, time.Since(start))
				d.Slot(0).Remove()
			}
			spread := reader.SpreadOf(took)
			b.ReportMetric(float64(spread.P50.Milliseconds()), "recovery-p50-ms")
			b.ReportMetric(float64(spread.Max.Milliseconds()), "recovery-max-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
	again("plugged in again", func() {
		l.Unplug(d)
		stateWithin(b, r, reader.Missing, 5*time.Second)
		l.Plug(d)
	})
	for name, how := range map[string]syscall.Signal{"pcscd stopped and started": syscall.SIGTERM, "pcscd killed and started": syscall.SIGKILL} {
		again(name, func() {
			_ = l.Signal(how)
			<-l.Exited()
			stateWithin(b, r, reader.NoService, 3*time.Second)
			if err := l.Restart(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
	again("pcscd frozen for a second", func() {
		_ = l.Signal(syscall.SIGSTOP)
		time.Sleep(time.Second)
		_ = l.Signal(syscall.SIGCONT)
	})
}
