package backend

import (
	"testing"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/ledger/ledgertest"
)

// send is a message made inside the shop; want is its receipt, amount included.
type send struct {
	make func(*shop) wire.Data
	want receiptLike
}

type receiptLike struct {
	result wire.Result
	state  wire.PaymentState
	reason wire.Reason
	amount int64
}

// tapped is one tap, used by several messages of a row.
type tapped struct {
	amount    int64
	ask, kind byte
}

// once taps once a row and payment 1; a second call gives the same bytes with another kind.
func (s *shop) once(t tapped) []byte {
	if s.evidence == nil {
		s.evidence = s.tap(1, t.amount, t.ask, t.kind)
	}
	return withKind(s.evidence, t.kind)
}

func advice(amount int64) func(*shop) wire.Data {
	return func(s *shop) wire.Data {
		return wire.Advice{Payment: about(1, amount, 1, s.once(tapped{amount, backendtest.AskTC, 1}))}
	}
}

// authorisation of an ARQC, or of a TC to be confirmed (scheme 5.6).
func authorisation(amount int64, ask byte) func(*shop) wire.Data {
	return func(s *shop) wire.Data {
		return wire.Authorisation{Payment: about(1, amount, 2, s.once(tapped{amount, ask, 2}))}
	}
}

func reversal(amount int64) func(*shop) wire.Data {
	return func(s *shop) wire.Data {
		return wire.Reversal{Payment: about(1, amount, 4, s.once(tapped{amount, backendtest.AskTC, 4}))}
	}
}

func reversalByID(amount int64) func(*shop) wire.Data {
	return func(*shop) wire.Data { return wire.Reversal{Payment: about(1, amount, 0, nil)} }
}

func report(kind, ask byte) func(*shop) wire.Data {
	return func(s *shop) wire.Data {
		return wire.Report{Payment: about(1, 3000, kind, s.once(tapped{3000, ask, kind}))}
	}
}

func refund(id byte, amount int64) func(*shop) wire.Data {
	return func(*shop) wire.Data {
		return wire.Refund{Payment: about(1, amount, 0, nil), RefundID: wire.ID{0xEE, id}}
	}
}

// The rows of terminal.md "What the wallet posts", and what follows from them.
func TestPostingTable(t *testing.T) {
	const tc, arqc = backendtest.AskTC, backendtest.AskARQC
	taken := func(n int64) receiptLike { return receiptLike{wire.Accepted, wire.StateTaken, 0, n} }
	reversed := func(n int64) receiptLike { return receiptLike{wire.Accepted, wire.StateReversed, 0, n} }
	refused := func(state wire.PaymentState, reason wire.Reason) receiptLike {
		return receiptLike{wire.Refused, state, reason, 0}
	}
	for name, row := range map[string]struct {
		before   func(*shop)
		sends    []send
		alice    int64 // her balance in the end; she begins with 10000
		returned int64 // to her allowance
	}{
		"nothing, advice":            {nil, []send{{advice(3000), taken(3000)}}, 7000, 0},
		"advice over the balance":    {nil, []send{{advice(15000), taken(15000)}}, -5000, 0},
		"advice of a blocked payer":  {blockAlice, []send{{advice(3000), taken(3000)}}, 7000, 0},
		"nothing, authorisation":     {nil, []send{{authorisation(3000, arqc), taken(3000)}}, 7000, 0},
		"authorisation, confirm":     {nil, []send{{authorisation(3000, tc), taken(3000)}}, 7000, 0},
		"authorisation of all":       {nil, []send{{authorisation(10000, arqc), taken(10000)}}, 0, 0},
		"insufficient balance":       {nil, []send{{authorisation(10001, arqc), refused(wire.StateRefused, 0x02)}}, 10000, 0},
		"confirm without balance":    {nil, []send{{authorisation(10001, tc), refused(wire.StateRefused, 0x02)}}, 10000, 10001},
		"confirm of a blocked payer": {blockAlice, []send{{authorisation(3000, tc), refused(wire.StateRefused, 0x01)}}, 10000, 3000},
		"blocked payer":              {blockAlice, []send{{authorisation(3000, arqc), refused(wire.StateRefused, 0x01)}}, 10000, 0},
		"nothing, reversal":          {nil, []send{{reversal(3000), reversed(0)}}, 10000, 3000},
		"nothing, reversal by id":    {nil, []send{{reversalByID(3000), reversed(0)}}, 10000, 0},
		"taken, the same again":      {nil, []send{{advice(3000), taken(3000)}, {advice(3000), taken(3000)}}, 7000, 0},
		"taken, reversal":            {nil, []send{{advice(3000), taken(3000)}, {reversal(3000), reversed(3000)}}, 10000, 3000},
		"taken, reversal by id":      {nil, []send{{advice(3000), taken(3000)}, {reversalByID(3000), reversed(3000)}}, 10000, 3000},
		"authorised, reversal by id": {nil, []send{{authorisation(3000, arqc), taken(3000)}, {reversalByID(3000), reversed(3000)}}, 10000, 0},
		"reversed twice": {nil, []send{{advice(3000), taken(3000)}, {reversal(3000), reversed(3000)}, {reversalByID(3000), reversed(0)}},
			10000, 3000},
		"tombstone, advice": {nil, []send{{reversalByID(3000), reversed(0)}, {advice(3000), refused(wire.StateReversed, 0x2C)}},
			10000, 3000},
		"tombstone, authorisation": {nil, []send{{reversalByID(3000), reversed(0)},
			{authorisation(3000, arqc), refused(wire.StateReversed, 0x2C)}}, 10000, 0},
		"tombstone, confirm": {nil, []send{{reversalByID(3000), reversed(0)},
			{authorisation(3000, tc), refused(wire.StateReversed, 0x2C)}}, 10000, 3000},
		"reversed, advice": {nil, []send{{advice(3000), taken(3000)}, {reversal(3000), reversed(3000)},
			{advice(3000), refused(wire.StateReversed, 0x2C)}}, 10000, 3000},
		"taken, refund": {nil, []send{{advice(3000), taken(3000)}, {refund(1, 1000), taken(1000)},
			{refund(2, 2000), receiptLike{wire.Accepted, wire.StateRefunded, 0, 2000}}}, 10000, 0},
		"refund above what is left": {nil, []send{{advice(3000), taken(3000)}, {refund(1, 2000), taken(2000)},
			{refund(2, 1001), refused(wire.StateTaken, 0x0F)}}, 9000, 0},
		"the same refund again": {nil, []send{{advice(3000), taken(3000)}, {refund(1, 1000), taken(1000)},
			{refund(1, 1000), receiptLike{wire.Accepted, wire.StateTaken, 0, 0}}}, 8000, 0},
		"the refund's id again, other amount": {nil, []send{{advice(3000), taken(3000)}, {refund(1, 1000), taken(1000)},
			{refund(1, 900), refused(wire.StateTaken, 0x2A)}}, 8000, 0},
		"refund, then reversal": {nil, []send{{advice(3000), taken(3000)}, {refund(1, 1000), taken(1000)},
			{reversalByID(3000), reversed(2000)}}, 10000, 3000},
		"refund of nothing": {nil, []send{{refund(1, 1000), refused(wire.StateUnknown, 0x2A)}}, 10000, 0},
		"refund of a tombstone": {nil, []send{{reversalByID(3000), reversed(0)}, {refund(1, 1000), refused(wire.StateReversed, 0x2A)}},
			10000, 0},
		"refused, then the advice": {nil, []send{{authorisation(10001, tc), refused(wire.StateRefused, 0x02)},
			{advice(10001), refused(wire.StateRefused, 0x02)}}, 10000, 10001},
		"refused, then a reversal": {nil, []send{{authorisation(10001, arqc), refused(wire.StateRefused, 0x02)},
			{reversalByID(10001), reversed(0)}}, 10000, 0},
		"declined, reported": {nil, []send{{report(3, backendtest.AskAAC), receiptLike{wire.Accepted, wire.StateRefused, 0, 0}}}, 10000, 0},
		"suspect, reported":  {nil, []send{{report(5, tc), receiptLike{wire.Accepted, wire.StateRefused, 0, 0}}}, 10000, 3000},
		"suspect, then advice": {nil, []send{{report(5, tc), receiptLike{wire.Accepted, wire.StateRefused, 0, 0}},
			{advice(3000), refused(wire.StateRefused, 0x2C)}}, 10000, 3000},
		"taken, then a report": {nil, []send{{advice(3000), taken(3000)}, {report(5, tc), taken(0)}}, 7000, 0},
		"unknown device":       {func(s *shop) { s.unregister() }, []send{{advice(3000), refused(wire.StateRefused, 0x08)}}, 10000, 0},
	} {
		ledgertest.Each(t, func(t *testing.T, books string) {
			t.Log(name)
			s := newShopIn(t, books)
			if row.before != nil {
				row.before(s)
			}
			for n, send := range row.sends {
				r := s.receipt(send.make(s))
				if got := (receiptLike{r.Result, r.State, r.Reason, r.AmountMinor}); got != send.want {
					t.Errorf("message %d: %v, want %v", n, got, send.want)
				}
			}
			if got := s.balance("alice"); got != row.alice {
				t.Errorf("alice has %d, want %d", got, row.alice)
			}
			if got := s.balance("merchant:tea"); got != 10000-row.alice {
				t.Errorf("the merchant has %d, want %d", got, 10000-row.alice)
			}
			if got := s.returned(); got != row.returned {
				t.Errorf("%d went back to the allowance, want %d", got, row.returned)
			}
		})
	}
}

func blockAlice(s *shop) { s.block("alice") }

// unregister replaces the phone by one of another wallet with the same CA key.
func (s *shop) unregister() {
	other, err := ledger.Open(s.Context(), s.TempDir()+"/other.db")
	s.must(err)
	defer other.Close()
	s.must(OpenPayer(s.Context(), other, "alice", "Alice", "CNY", 0, noon))
	s.reissue(other, "alice", &DefaultAllowance)
}
