package backend

import (
	"math/rand/v2"
	"sync"
	"testing"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
)

// Two services, each with its own handle on the ledger file and four workers, get every message several times in any
// order. What this proves: one answer a message, money taken at most once and
// given back at most once, no payment both reversed and kept, books that add up.
func TestWorkersRepeatAndReorder(t *testing.T) { eachShop(t, repeatAndReorder) }

func repeatAndReorder(s *shop) {
	const payments, copies, workers = 12, 3, 8
	t := s.TB
	twin, err := ledger.Open(t.Context(), s.path) // as another process would
	s.must(err)
	defer twin.Close()
	second, err := NewService(Config{Ledger: twin, Verifier: s.service.verifier, Signing: s.keys.Signing, Decryption: s.keys.Decryption,
		Now: s.service.now})
	s.must(err)
	services := [2]*Service{s.service, second}
	var all []sealed
	for n := byte(1); n <= payments; n++ {
		record := s.tap(n, 100, backendtest.AskTC, 1)
		advice := s.seal(wire.Advice{Payment: about(n, 100, 1, record)})
		resealed := s.seal(wire.Advice{Payment: about(n, 100, 1, record)})
		messages := []sealed{advice, resealed, s.seal(wire.Query{PaymentID: wire.ID{n}})}
		switch n % 3 {
		case 0:
			messages = append(messages, s.seal(wire.Reversal{Payment: about(n, 100, 4, withKind(record, 4))}),
				s.seal(wire.Reversal{Payment: about(n, 100, 0, nil)}))
		case 1:
			messages = append(messages, s.seal(wire.Refund{Payment: about(n, 60, 0, nil), RefundID: wire.ID{0xEE, n, 1}}),
				s.seal(wire.Refund{Payment: about(n, 60, 0, nil), RefundID: wire.ID{0xEE, n, 2}}))
		}
		for range copies {
			all = append(all, messages...)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

	var (
		mu      sync.Mutex
		answers = map[string]string{} // by message, receipts only
		wg      sync.WaitGroup
	)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(all); i += workers {
				out, err := services[w%2].Handle(t.Context(), all[i].topic, all[i].raw)
				if err != nil || len(out) != 1 {
					t.Errorf("%s: %v", all[i].topic, err)
					return
				}
				if out[0].Topic != atTea.DownTopic(wire.KindReceipt) {
					continue
				}
				mu.Lock()
				before, had := answers[string(all[i].raw)]
				answers[string(all[i].raw)] = string(out[0].Payload)
				mu.Unlock()
				if had && before != string(out[0].Payload) {
					t.Error("one message, two answers")
				}
			}
		})
	}
	wg.Wait()
	list, err := s.ledger.Payments(t.Context(), "", "", "")
	s.must(err)
	var kept int64
	for _, p := range list {
		reversed := p.ID[0]%3 == 0
		if reversed == (p.State == ledger.Taken) {
			t.Errorf("payment %d is %s", p.ID[0], p.State)
		}
		if p.State == ledger.Taken {
			kept += p.AmountMinor - p.RefundedMinor
		}
	}
	if len(list) != payments || s.balance("alice") != 10000-kept || s.balance("merchant:tea") != kept {
		t.Errorf("%d payments, kept %d, alice %d, merchant %d", len(list), kept, s.balance("alice"), s.balance("merchant:tea"))
	}
	if got := s.returned(); got != 100*(payments/3) {
		t.Errorf("%d went back to the allowance", got)
	}
}
