package endtoend_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/wallet/ledger"
)

// till rings up payments and writes down all that it is told.
type till struct {
	s    *site
	mu   sync.Mutex
	told map[terminal.ID][]terminal.Payment
	wait sync.WaitGroup
}

func newTill(s *site) *till { return &till{s: s, told: map[terminal.ID][]terminal.Payment{}} }

func (c *till) hears(p terminal.Payment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[p.ID] = append(c.told[p.ID], p)
}

// pay rings up one order and holds the phone until the customer may leave.
// Whatever comes later is heard as well.
func (c *till) pay(ctx context.Context, order, who string, minor int64) error {
	t := c.s.lane.Terminal()
	p, err := t.Open(ctx, terminal.Request{OrderRef: order, AmountMinor: minor, Currency: lanetest.Currency,
		Offline: terminal.OfflineAllow, ExpiresIn: 20 * time.Second})
	if err != nil {
		return fmt.Errorf("open %s: %w", order, err)
	}
	c.hears(p)
	if err := c.s.Field.Present(c.s.Phones[who].Ready()); err != nil {
		return err
	}
	defer func() {
		c.s.Field.Remove()
		c.s.Field.Wait()
	}()
	for busy(p.State) {
		if p, err = t.Wait(ctx, p.ID, p.Revision); err != nil {
			return fmt.Errorf("wait for %s: %w", order, err)
		}
		c.hears(p)
	}
	if p.End() == "" {
		c.wait.Go(func() {
			for p.End() == "" {
				var err error
				if p, err = t.Wait(ctx, p.ID, p.Revision); err != nil {
					return
				}
				c.hears(p)
			}
		})
	}
	return nil
}

// sums is what the books came to.
type sums struct{ paid, notPaid, stored, approved, unknown int }

// audit waits until every payment has its end, and holds what the till was told,
// the journal and the ledger against each other.
func (c *till) audit(orders int) sums {
	s := c.s
	s.t.Helper()
	s.eventually("nothing waits", func() bool {
		s.lane.SyncNow()
		time.Sleep(200 * time.Millisecond)
		return s.status().Waiting == 0
	})
	c.wait.Wait()
	s.eventually("nothing waits after the last end", func() bool { return s.status().Waiting == 0 })
	if len(c.told) != orders {
		s.t.Errorf("%d payments for %d orders", len(c.told), orders)
	}
	rows, err := s.Ledger.Payments(context.Background(), "", "", "")
	must(s.t, err)
	byID := map[terminal.ID]ledger.Payment{}
	for _, r := range rows {
		byID[r.ID] = r
		if c.told[r.ID] == nil {
			s.t.Errorf("the ledger knows payment %x (%s), the till does not", r.ID, r.State)
		}
	}
	var out sums
	var paid int64
	for id, told := range c.told {
		is, err := s.lane.Terminal().Payment(id)
		must(s.t, err)
		c.agrees(is, told, &out)
		row, known := byID[id]
		taken := known && row.State == ledger.Taken
		if taken != (is.End() == terminal.Paid) {
			s.t.Errorf("payment %s is %q (%s), the ledger has it %q", id, is.End(), is.State, row.State)
		}
		if taken {
			paid += row.AmountMinor
			if row.AmountMinor != is.AmountMinor {
				s.t.Errorf("the ledger took %s of %s", fen(row.AmountMinor), fen(is.AmountMinor))
			}
		}
	}
	money, err := s.Money(context.Background())
	must(s.t, err)
	if money.ClaimMinor != paid || money.SpentMinor != paid {
		s.t.Errorf("PAID adds up to %s, the merchant is owed %s, the payers spent %s", fen(paid), fen(money.ClaimMinor), fen(money.SpentMinor))
	}
	c.closes()
	return out
}

// agrees: what was told stays true (I1, I3), and every payment has one end (I7).
func (c *till) agrees(is terminal.Payment, told []terminal.Payment, out *sums) {
	t := c.s.t
	for _, was := range told {
		switch was.State {
		case terminal.Approved:
			if is.End() != terminal.Paid {
				t.Errorf("told approved, the end of %s is %q", is.ID, is.End())
			}
		case terminal.Stored:
			out.stored++
			if is.End() != terminal.Paid {
				t.Errorf("told stored, the end of %s is %q (%s)", is.ID, is.End(), is.Settlement)
			}
		case terminal.Unknown:
			out.unknown++
		case terminal.Declined, terminal.Failed, terminal.Cancelled, terminal.Expired:
			if is.End() != terminal.NotPaid {
				t.Errorf("told %s, the end of %s is %q", was.State, is.ID, is.End())
			}
		}
	}
	switch is.End() {
	case terminal.Paid:
		out.paid++
		if told[len(told)-1].State == terminal.Approved && is.Request != nil {
			out.approved++
		}
	case terminal.NotPaid:
		out.notPaid++
	default:
		t.Errorf("payment %s has no end: %s", is.ID, is.State)
	}
}

// closes: nothing is exposed or parked, the day reconciles, the journal verifies.
func (c *till) closes() {
	s := c.s
	st := s.status()
	if st.Exposure.Payments != 0 || st.Exposure.SumMinor != 0 || st.Parked != 0 {
		s.t.Errorf("settled, and yet exposed to %+v, %d parked", st.Exposure, st.Parked)
	}
	days, err := s.lane.Reconcile(context.Background(), st.Day)
	must(s.t, err)
	for _, d := range days {
		if !d.Match {
			s.t.Errorf("the day does not reconcile: %+v", d)
		}
	}
	if report, err := s.lane.VerifyJournal(); err != nil || report.Records == 0 {
		s.t.Errorf("the journal does not verify: %v, %d records", err, report.Records)
	}
}

// busy: the customer still stands there.
func busy(s terminal.State) bool {
	switch s {
	case terminal.Created, terminal.AwaitingTap, terminal.Reading, terminal.Authorising:
		return true
	}
	return false
}
