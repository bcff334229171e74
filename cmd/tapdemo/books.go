package main

import (
	"context"
	"errors"
	"fmt"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/till"
	"tapkeeper/wallet/ledger"
)

func yuan(minor int64) string { return fmt.Sprintf("¥%d.%02d", minor/100, minor%100) }

// balance reconciles the day and shows both books side by side. They agree, or
// the demonstration has failed.
func (t *teller) balance() error {
	status, err := t.client.Status(t.ctx)
	if err != nil {
		return err
	}
	t.chapter("The day reconciles, and both books agree")
	all, err := t.client.Reconcile(t.ctx, status.Day)
	if err != nil {
		return err
	}
	for _, r := range all {
		t.say("   terminal %d payments, %s; wallet %d payments, %s; hash %.16s", r.Here.Count, yuan(r.Here.SumMinor), r.There.Count, yuan(r.There.SumMinor), r.There.Hash)
		if !r.Match || r.Waiting != 0 {
			return fmt.Errorf("the reconciliation of %s does not match: %+v", r.Day, r.Differences)
		}
	}
	payments, err := t.client.Day(t.ctx, status.Day)
	if err != nil {
		return err
	}
	disagree, err := t.compare(payments, status.Day)
	if err != nil {
		return err
	}
	if disagree > 0 {
		return fmt.Errorf("%d payments stand differently in the two books", disagree)
	}
	trace, err := t.client.Trace(t.ctx, t.first)
	if err != nil || len(trace) == 0 {
		return errors.Join(errors.New("the first tap has no trace"), err)
	}
	t.say("\nBoth books agree. (The first tap, masked, was %d exchanges: tapkeeper show ID --trace.)", len(trace))
	return nil
}

// compare prints the books and counts the payments that they do not agree on.
func (t *teller) compare(payments []till.Payment, day string) (disagree int, err error) {
	taken, err := t.Ledger.Payments(t.ctx, lanetest.Merchant, lanetest.Terminal, day)
	if err != nil {
		return 0, err
	}
	rows := map[string]ledger.Payment{}
	for _, row := range taken {
		rows[terminal.ID(row.ID).String()] = row
	}
	var paid int64
	t.say("   %-9s %9s   %-19s %-9s  %-20s", "order", "amount", "journal", "", "ledger")
	for _, p := range payments {
		row, known := rows[p.ID]
		delete(rows, p.ID)
		inLedger := "-"
		if known {
			inLedger = fmt.Sprintf("%s %s", row.State, yuan(row.AmountMinor))
		}
		took := known && row.State == ledger.Taken
		agree := p.End != "" && took == (p.End == string(terminal.Paid)) && (!took || row.AmountMinor == p.AmountMinor)
		mark := "="
		if !agree {
			mark = "differs"
			disagree++
		}
		if p.End == string(terminal.Paid) {
			paid += p.AmountMinor
		}
		t.say("   %-9s %9s   %-9s %-9s %-9s  %-20s %s", p.OrderRef, yuan(p.AmountMinor), p.State, p.Settlement, p.End, inLedger, mark)
	}
	for id, row := range rows {
		t.say("   %s is in the ledger alone: %s %s", id, row.State, yuan(row.AmountMinor))
		disagree++
	}
	return disagree, t.money(paid)
}

// money compares the accounts with what was paid, to the last fen.
func (t *teller) money(paid int64) error {
	m, err := t.Money(t.ctx)
	if err != nil {
		return err
	}
	t.say("   customers spent %s, the merchant is owed %s, the journal says PAID %s", yuan(m.SpentMinor), yuan(m.ClaimMinor), yuan(paid))
	if m.SpentMinor != paid || m.ClaimMinor != paid {
		return errors.New("the money differs")
	}
	return nil
}

// measure pays many times over and prints the rate.
func measure(ctx context.Context, s *store, taps int, out interface{ Write([]byte) (int, error) }) error {
	if err := s.until(ctx, "the wallet is connected", func(st till.Status) bool { return st.Wallet.Connected && st.Clock.Trusted }); err != nil {
		return err
	}
	return s.rate(ctx, taps, out)
}
