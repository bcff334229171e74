package terminal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv"
	"tapkeeper/uplink/wire"
)

// askTC is P1 of a GENERATE AC that lets the phone approve (scheme 5.1).
const askTC = 0x40

// storePending puts the kernel's pending record on disk, together with the
// exposure that the payment may cause, before GENERATE AC is sent
// (terminal.md, Limits; scheme 8.6.1). A *CapError refuses the tap.
func (v *visit) storePending(pending *emv.Pending) error {
	v.spent(true)
	coded, err := pending.Marshal()
	if err != nil {
		return err
	}
	if v.refundOf != nil {
		if err := v.storeRefundPending(coded, "the phone is asked about a refund"); err != nil {
			v.spent(false)
			return err
		}
		v.pending = true
		v.asked++
		return nil
	}
	next := v.p
	next.State = Reading
	c := v.t.change(v.p, &next, "the phone is asked to decide")
	c.Records = append(c.Records, Record{kindPending, v.p.ID.String(), coded})
	c.Counts = release(&next)
	if pending.Asked() == askTC { // only a TC can be approved offline
		held, err := v.t.reserve(&next, pending.DeviceID())
		if err != nil {
			v.spent(false)
			return err
		}
		c.Counts = append(c.Counts, held...)
	}
	c.Records[0].Value = mustJSON(&next)
	if _, err := v.t.commit(v.ctx, c); err != nil {
		v.spent(false)
		return err
	}
	v.p, v.pending = next, true
	v.asked++
	return nil
}

// dropPending goes back to waiting for a tap when the phone has said that it
// did not commit (scheme 8.6.1). After a second question the record stays until
// the outcome: it also holds what an earlier phone was asked and never answered.
func (v *visit) dropPending() error {
	if v.refundOf != nil {
		err := v.storeRefundPending(nil, "the phone has not answered about a refund; tap again")
		v.pending = err != nil
		return err
	}
	next := v.p
	next.State = AwaitingTap
	counts := release(&next)
	c := v.t.change(v.p, &next, "the phone has not committed; tap again")
	c.Records = append(c.Records, Record{kindPending, v.p.ID.String(), nil})
	c.Counts = counts
	if _, err := v.t.insist(c); err != nil {
		return err
	}
	v.p, v.pending = next, false
	return nil
}

// conclude commits what an outcome makes of the payment, in one commit with
// everything that belongs to it, and only then lets anybody hear of it (I4).
func (t *Terminal) conclude(v *visit, out emv.Outcome) {
	next, c, err := t.settle(&v.p, &out, time.Now())
	if err != nil {
		t.fail(err)
		return
	}
	c.Records = append(c.Records, Record{kindTrace, v.p.ID.String(), mustJSON(v.trace)})
	defer t.locks.lock("payment/" + v.p.ID.String())()
	// Whoever hears of the outcome may open the next payment at once.
	t.unclaim(v.p.ID)
	seq, err := t.insist(c)
	if err != nil && !errors.Is(err, ErrUncertain) && t.failure() == nil {
		// Something that the phone said does not fit into the journal. A phone must
		// not stop the terminal (I14): what can be kept is that nobody is charged.
		if err = t.commitReversal(v.p, emv.ReasonProtocol, out.Abandoned, "the outcome cannot be kept; reversed"); err == nil {
			return
		}
	}
	if err != nil {
		// The pending record is still on disk: the next start resolves it.
		t.fail(fmt.Errorf("store the outcome of %s: %w", v.p.ID, err))
		return
	}
	if next.State == Stored {
		t.mu.Lock()
		t.unsent[next.ID] = next.AcceptedAt
		t.mu.Unlock()
	}
	if next.State == Authorising {
		t.work(func(ctx context.Context) { t.authorise(ctx, next, proofOf(&out), seq) })
	}
}

// settle prepares the payment's next state and its commit.
func (t *Terminal) settle(p *Payment, out *emv.Outcome, now time.Time) (Payment, Commit, error) {
	v := judge(out)
	next := *p
	next.State, next.Settlement, next.Reason = v.state, v.settlement, v.reason
	next.AcceptedAt, next.BusinessDay = now, t.cfg.businessDay(now)
	next.LastDigits = out.LastDigits
	next.abandon(out.Abandoned)
	if out.Answered {
		next.TVR = fmt.Sprintf("%X", out.TVR[:])
	}
	var entries []Entry
	for place, kind := range v.messages {
		id, err := newID(now, t.random)
		if err != nil {
			return Payment{}, Commit{}, err
		}
		next.owe(kind, id)
		if kind != sendAuthorisation {
			entries = append(entries, t.entry(&next, kind, id, place, proofOf(out), now))
		}
	}
	var counts []Count
	if v.state != Stored {
		counts = release(&next)
	}
	c := t.change(*p, &next, v.why)
	c.Entries, c.Counts = entries, counts
	c.Records = append(c.Records, Record{kindPending, p.ID.String(), nil})
	if record := out.Record.Bytes(); len(record) > 0 {
		c.Records = append(c.Records, Record{kindRecord, p.ID.String(), record})
	}
	if reference := out.Reference.Bytes(); len(reference) > 0 {
		c.Records = append(c.Records, Record{kindReference, p.ID.String(), reference})
	}
	if v.state == Stored {
		c.Records = append(c.Records, Record{kindUnsent, p.ID.String(), []byte(p.ID.String())})
	}
	if out.Seen != nil {
		c.Records = append(c.Records, seenRecord(out.Seen))
	}
	return next, c, nil
}

// owe notes the id of a message that the payment owes the wallet.
func (p *Payment) owe(kind outgoing, id ID) {
	switch kind {
	case sendAdvice:
		p.Advice = &id
	case sendAuthorisation:
		p.Request = &id
	case sendReport:
		p.Report = &id
	case sendReversal:
		p.Reversal = &id
	}
}

// messagesPerCommit keeps the numbers of messages apart that one commit sends:
// a wallet refuses a known number with other content. An outcome owes at most
// two, a reversal and a report.
const messagesPerCommit = 4

// messageNumber is the sequence number of a message: of its commit, and its
// place among the messages of that commit.
func messageNumber(seq uint64, place int) uint64 { return seq*messagesPerCommit + uint64(place) }

// entry is the outbox entry of a message about a payment.
func (t *Terminal) entry(p *Payment, kind outgoing, id ID, place int, proof proof, now time.Time) Entry {
	return t.seal(p, id, place, t.message(p, kind, proof), now)
}

// seal is the outbox entry of a message; its bytes are made in the commit.
func (t *Terminal) seal(p *Payment, id ID, place int, data wire.Data, now time.Time) Entry {
	return Entry{
		ID: id.String(), Group: p.ID.String(), Kind: string(data.Kind()),
		Seal: func(seq uint64) ([]byte, error) {
			return t.keys.Seal(wire.Header{ID: id, Sequence: messageNumber(seq, place), Time: now}, data)
		},
	}
}

// message is what the wallet is told about a payment.
func (t *Terminal) message(p *Payment, kind outgoing, proof proof) wire.Data {
	common := t.common(p)
	common.Abandoned = p.Abandoned
	if len(proof.record) > 0 {
		common.Record, common.RecordKind = wire.NewRecord(proof.record), wire.RecordKind(proof.kind)
	}
	switch kind {
	case sendAdvice:
		return wire.Advice{Payment: common}
	case sendAuthorisation:
		return wire.Authorisation{Payment: common}
	case sendReport:
		return wire.Report{Payment: common}
	}
	if proof.kind != emv.RecordReversal { // by id alone; the record is reported beside it
		common.Record, common.RecordKind = wire.Record{}, 0
	}
	return wire.Reversal{Payment: common}
}

// common is what every message says of its payment.
func (t *Terminal) common(p *Payment) wire.Payment {
	return wire.Payment{
		PaymentID: p.ID, OrderRef: p.OrderRef, AmountMinor: p.AmountMinor, Currency: p.Currency,
		BusinessDay: p.BusinessDay, AcceptedAt: wire.At(p.AcceptedAt),
	}
}

// fail stops the terminal: what it holds in memory may no longer be the truth.
func (t *Terminal) fail(err error) {
	t.mu.Lock()
	if t.fatal == nil {
		t.fatal = err
	}
	t.mu.Unlock()
	t.announce()
}

// work runs f beside the taps until it returns or the terminal stops.
func (t *Terminal) work(f func(ctx context.Context)) {
	t.mu.Lock()
	ctx := t.life
	t.mu.Unlock()
	t.workers.Go(func() { f(ctx) })
}
