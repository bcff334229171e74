package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/till"
	"tapkeeper/wallet/ledger"
)

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
		t.say("   terminal  %d payments, %s, hash %.16s", r.Here.Count, yuan(r.Here.SumMinor), r.Here.Hash)
		t.say("   wallet    %d payments, %s, hash %.16s", r.There.Count, yuan(r.There.SumMinor), r.There.Hash)
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
	const columns = "   %-7s%9s   %-9s %-9s %-9s  %-9s %9s  %s"
	t.say("\n" + strings.TrimRight(fmt.Sprintf(columns, "order", "amount", "journal", "", "", "ledger", "", ""), " "))
	for _, p := range payments {
		row, known := rows[p.ID]
		delete(rows, p.ID)
		inLedger, amount := "-", ""
		if known {
			inLedger, amount = string(row.State), yuan(row.AmountMinor)
		}
		took := known && row.State == ledger.Taken
		agree := p.End != "" && took == (p.End == string(terminal.Paid)) && (!took || row.AmountMinor == p.AmountMinor)
		mark := "agree"
		if !agree {
			mark = "DIFFER"
			disagree++
		}
		if p.End == string(terminal.Paid) {
			paid += p.AmountMinor
		}
		t.say(columns, p.OrderRef, yuan(p.AmountMinor), p.State, p.Settlement, p.End, inLedger, amount, mark)
	}
	for id, row := range rows {
		t.say("   %s is in the ledger alone: %s %s", id, row.State, yuan(row.AmountMinor))
		disagree++
	}
	t.say("   (refused: asked, and no money moved. tombstone: reversed before anything was taken, and nothing ever will be)")
	return disagree, t.money(paid)
}

// money compares the accounts with what was paid, to the last fen.
func (t *teller) money(paid int64) error {
	m, err := t.Money(t.ctx)
	if err != nil {
		return err
	}
	t.say("\n   customers spent %s, the merchant is owed %s, the journal says PAID %s", yuan(m.SpentMinor), yuan(m.ClaimMinor), yuan(paid))
	if m.SpentMinor != paid || m.ClaimMinor != paid {
		return errors.New("the money differs")
	}
	return nil
}

// measure pays many times over and prints the rate.
func measure(ctx context.Context, s *store, taps int, out io.Writer) error {
	if err := s.until(ctx, "the wallet is connected", func(st till.Status) bool { return st.Wallet.Connected && st.Clock.Trusted }); err != nil {
		return err
	}
	return s.rate(ctx, taps, out)
}
