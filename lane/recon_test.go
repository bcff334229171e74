package lane_test

import (
	"fmt"
	"maps"
	"testing"

	"tapkeeper/terminal"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

// difference is one way in which the books can differ, and what becomes of it.
type difference struct {
	name   string
	plant  func(b *twoBooks, later *[]func(*ledger.Tx) error)
	found  string // class and action
	left   string // of the second run; empty: the books agree
	result func(p terminal.Payment, row ledger.Payment) bool
}

func paidBoth(p terminal.Payment, row ledger.Payment) bool {
	return p.End() == terminal.Paid && row.State == ledger.Taken
}

func reversedBoth(p terminal.Payment, row ledger.Payment) bool {
	return p.End() == terminal.NotPaid && (row.State == ledger.Reversed || row.State == ledger.Tombstone)
}

func take(b *twoBooks, p terminal.Payment, minor int64) func(*ledger.Tx) error {
	row := b.row(&p)
	row.AmountMinor = minor
	return func(tx *ledger.Tx) error { return tx.Take(row, "merchant:"+reconMerchant, b.now) }
}

// advice is an outbox entry of a payment's advice.
func advice(b *twoBooks, p *terminal.Payment, record []byte) terminal.Entry {
	id := b.id()
	p.Advice = &id
	d := wire.Advice{Payment: wire.Payment{PaymentID: p.ID, OrderRef: p.OrderRef, AmountMinor: p.AmountMinor, Currency: p.Currency,
		BusinessDay: p.BusinessDay, AcceptedAt: wire.At(p.AcceptedAt), RecordKind: 1, Record: wire.NewRecord(record)}}
	return terminal.Entry{ID: id.String(), Group: p.ID.String(), Kind: string(wire.KindAdvice), Seal: func(seq uint64) ([]byte, error) {
		return b.keys.Seal(wire.Header{ID: id, Sequence: seq * 4, Time: b.now}, d)
	}}
}

func refundOf(b *twoBooks, p *terminal.Payment, state terminal.RefundState, minor int64) terminal.Refund {
	r := terminal.Refund{ID: b.id(), Message: b.id(), AmountMinor: minor, State: state, At: b.now, BusinessDay: b.day}
	p.Refunds = append(p.Refunds, r)
	return r
}

var differences = []difference{
	{"a sale that the ledger lost", func(b *twoBooks, _ *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Approved, terminal.Settled)
		record := b.record(&p)
		advice(b, &p, record)
		b.write(p, record)
	}, "payment only_here: resend", "", paidBoth},
	{"a reversal that the ledger lost", func(b *twoBooks, _ *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Failed, terminal.Reversed)
		b.write(p, nil)
	}, "payment only_here: resend", "", reversedBoth},
	{"a receipt that was lost", func(b *twoBooks, _ *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Stored, terminal.Queued)
		record := b.record(&p)
		e := advice(b, &p, record)
		b.write(p, record, e)
		box := b.journal.Outbox()
		if _, err := b.handle(b.Context(), b.keys.Address().UpTopic(wire.KindAdvice), box[len(box)-1].Body); err != nil {
			b.Fatal(err)
		}
	}, "payment only_there: query", "", paidBoth},
	{"money of a payment that was told not paid", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Declined, terminal.NotSettled)
		b.write(p, nil)
		*later = append(*later, take(b, p, p.AmountMinor))
	}, "payment only_there: reverse", "", reversedBoth},
	{"money of a payment that the journal does not hold", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Approved, terminal.Settled)
		*later = append(*later, take(b, p, p.AmountMinor))
	}, "payment only_there: person", "payment only_there: person", nil},
	{"a refusal that was taken since", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Stored, terminal.Rejected)
		p.Reason = 0x33
		record := []byte{0xBF, 0x8B, 0x01, 0x00}
		e := advice(b, &p, record)
		b.write(p, record, e)
		if _, err := b.journal.Commit(b.Context(), terminal.Commit{Event: []byte(`{}`), Park: []terminal.Park{{ID: e.ID, Reason: "refused"}}}); err != nil {
			b.Fatal(err)
		}
		*later = append(*later, take(b, p, p.AmountMinor))
	}, "payment only_there: accept", "", paidBoth},
	{"a tombstone of a decline", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Declined, terminal.NotSettled)
		b.write(p, nil)
		row := b.row(&p)
		*later = append(*later, func(tx *ledger.Tx) error { return tx.Bury(row, b.now) })
	}, "payment only_there: accept", "", reversedBoth},
	{"another amount", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Approved, terminal.Settled)
		b.write(p, nil)
		*later = append(*later, take(b, p, p.AmountMinor+1))
	}, "payment amount_differs: person", "payment amount_differs: person", nil},
	{"a reversal that the ledger undid", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Failed, terminal.Reversed)
		b.write(p, nil)
		*later = append(*later, take(b, p, p.AmountMinor))
	}, "payment state_differs: resend", "", reversedBoth},
	{"a reversal that nobody asked for", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Approved, terminal.Settled)
		b.write(p, nil)
		*later = append(*later, take(b, p, p.AmountMinor), func(tx *ledger.Tx) error { return tx.Reverse(p.ID, b.now) })
	}, "payment state_differs: person", "payment state_differs: person", nil},
	{"a refund that the ledger lost", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Approved, terminal.Settled)
		refundOf(b, &p, terminal.RefundDone, 1)
		b.write(p, nil)
		*later = append(*later, take(b, p, p.AmountMinor))
	}, "refund only_here: resend", "", func(p terminal.Payment, row ledger.Payment) bool {
		return row.RefundedMinor == 1 && p.RefundedMinor() == 1
	}},
	{"a refund that was refused and is made", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Approved, terminal.Settled)
		r := refundOf(b, &p, terminal.RefundRefused, 1)
		p.Refunds[0].Reason = 0x13
		b.write(p, nil)
		*later = append(*later, take(b, p, p.AmountMinor), func(tx *ledger.Tx) error {
			return tx.Refund(ledger.Refund{ID: r.ID.String(), Payment: p.ID, AmountMinor: 1, BusinessDay: b.day, Sequence: 1}, b.now)
		})
	}, "refund only_there: accept", "", func(p terminal.Payment, row ledger.Payment) bool {
		return row.RefundedMinor == 1 && p.RefundedMinor() == 1
	}},
	{"a refund of another amount", func(b *twoBooks, later *[]func(*ledger.Tx) error) {
		p := b.here(terminal.Approved, terminal.Settled)
		r := refundOf(b, &p, terminal.RefundDone, 1)
		b.write(p, nil)
		*later = append(*later, take(b, p, p.AmountMinor), func(tx *ledger.Tx) error {
			return tx.Refund(ledger.Refund{ID: r.ID.String(), Payment: p.ID, AmountMinor: 2, BusinessDay: b.day, Sequence: 1}, b.now)
		})
	}, "refund amount_differs: person", "refund amount_differs: person", nil},
}

// TestReconcileEachDifference plants each difference alone, in one, two and many
// payments among others that agree: it is found, named and acted upon, and the
// second run agrees, or says again what a person must look at.
func TestReconcileEachDifference(t *testing.T) {
	for _, d := range differences {
		for _, n := range sizes(1000) {
			t.Run(fmt.Sprintf("%s, %d", d.name, n), func(t *testing.T) {
				b := newTwoBooks(t)
				plant(b, n, d)
				left := map[string]int{}
				if d.left != "" {
					left[d.left] = n
				}
				b.differ(map[string]int{d.found: n}, left)
				if d.result != nil {
					b.ended(d, b.planted[agreeing:])
				}
			})
		}
	}
}

// TestReconcileMixed plants all of them at once.
func TestReconcileMixed(t *testing.T) {
	for _, n := range sizes(1000 / len(differences)) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			b := newTwoBooks(t)
			plant(b, n, differences...)
			found, left := map[string]int{}, map[string]int{}
			for _, d := range differences {
				found[d.found] += n
				if d.left != "" {
					left[d.left] += n
				}
			}
			b.differ(found, left)
		})
	}
}

// agreeing is how many payments are the same on both sides, among the others.
const agreeing = 30

// sizes are how many payments differ, up to most: the race detector makes each
// tap slow, and finds no more in many.
func sizes(most int) []int {
	switch {
	case racing:
		return []int{2}
	case testing.Short():
		return []int{1, 2, 50}
	}
	return []int{1, 2, most}
}

func plant(b *twoBooks, n int, all ...difference) {
	b.Helper()
	var later []func(*ledger.Tx) error
	for range agreeing {
		p := b.here(terminal.Approved, terminal.Settled)
		b.write(p, nil)
		later = append(later, take(b, p, p.AmountMinor))
	}
	for range n {
		for _, d := range all {
			d.plant(b, &later)
		}
	}
	b.keep(func(tx *ledger.Tx) error {
		for _, change := range later {
			if err := change(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// differ runs a reconciliation and what it started, and then a second one.
func (b *twoBooks) differ(found, left map[string]int) {
	b.Helper()
	r := b.reconcile()
	if got := count(r.Differences); r.Match || !maps.Equal(got, found) {
		b.Fatalf("found %v, want %v", got, found)
	}
	b.Logf("%d differences took %d questions, the largest of %d bytes", len(r.Differences), r.Questions, b.largest)
	b.drain()
	again := b.reconcile()
	if got := count(again.Differences); again.Match != (len(left) == 0) || !maps.Equal(got, left) || again.Waiting != 0 {
		b.Errorf("the second run found %v, want %v; %d wait", got, left, again.Waiting)
	}
	if box := b.journal.Outbox(); len(box) != 0 {
		b.Errorf("%d messages are left, the first %s: %s", len(box), box[0].Kind, box[0].Parked)
	}
	if findings, err := b.ledger.Check(b.Context()); err != nil || len(findings) > 0 {
		b.Errorf("the ledger is not sound: %q %v", findings, err)
	}
}

// ended holds both sides of every payment against each other.
func (b *twoBooks) ended(d difference, planted []terminal.Payment) {
	b.Helper()
	for _, p := range planted {
		p, err := b.terminal.Payment(p.ID)
		if err != nil {
			b.Fatal(err)
		}
		var row ledger.Payment
		if err := b.ledger.View(b.Context(), func(tx *ledger.Tx) (err error) { row, err = tx.Payment(p.ID); return err }); err != nil {
			b.Fatal(err)
		}
		if !d.result(p, row) {
			b.Fatalf("ended %q here (%s, %s), %s there, %d refunded", p.End(), p.State, p.Settlement, row.State, row.RefundedMinor)
		}
	}
}
