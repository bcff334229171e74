package terminal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv"
	"tapkeeper/uplink/wire"
)

// keepAnswer bounds the commit of an answer that has arrived.
const keepAnswer = 2 * time.Second

// authorise asks the wallet for a payment whose question is on disk, and sees
// it to an end: an answer, or unknown with its bound, or a reversal
// (terminal.md, "Unknown has one bound"). The question is sent once and never
// stored in the outbox: an unanswered ARQC is not an acceptance.
func (t *Terminal) authorise(ctx context.Context, p Payment, proof proof, seq uint64) {
	header := wire.Header{ID: *p.Request, Sequence: messageNumber(seq, 0), Time: p.AcceptedAt}
	message, err := t.keys.Seal(header, t.message(&p, sendAuthorisation, proof))
	if err != nil {
		t.fail(fmt.Errorf("seal the authorisation of %s: %w", p.ID, err))
		return
	}
	deadline := time.Now().Add(t.cfg.Bounds.Answer)
	asking, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// An error of Ask is no proof that the wallet has not heard it.
	if _, err := t.wallet.Ask(asking, wire.KindAuthorisation, *p.Request, message); err == nil {
		// The answer is on its way through Receive: give its commit a moment.
		keeping, stop := context.WithTimeout(context.WithoutCancel(ctx), keepAnswer)
		defer stop()
		if t.answered(keeping, p.ID) {
			return
		}
	}
	t.wallet.MissedDeadline()
	if up, _ := t.wallet.Link(); !up || ctx.Err() != nil {
		t.reverse(p.ID, emv.ReasonTimeout, "no answer and no link to ask on; reversed")
		return
	}
	if t.becomeUnknown(p.ID) {
		t.chase(ctx, p.ID, deadline)
	}
}

// answered waits until the payment has left authorising or unknown, or ctx ends.
func (t *Terminal) answered(ctx context.Context, id ID) bool {
	for {
		changed := t.Changed()
		p, err := t.load(id)
		if err != nil || (p.State != Authorising && p.State != Unknown) {
			return err == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// becomeUnknown is what the till hears at the deadline, unless there is no room
// to keep it: then only what ends the payment is kept and told. False: the answer
// came at the last moment.
func (t *Terminal) becomeUnknown(id ID) bool {
	defer t.locks.lock("payment/" + id.String())()
	p, err := t.load(id)
	if err == nil && p.State != Authorising {
		return false
	}
	next := p
	next.State, next.Reason = Unknown, emv.ReasonTimeout
	if err == nil {
		// Once: to insist would hold up the wallet's answer, and the reversal.
		_, err = t.commit(context.Background(), t.change(p, &next, "no answer from the wallet in time"))
	}
	if errors.Is(err, ErrStorage) {
		return true
	}
	if err != nil {
		t.fail(fmt.Errorf("store that the outcome of %s is unknown: %w", id, err))
	}
	return err == nil
}

// chase asks for an unknown payment at the settled moments, and reverses it
// when nobody knows it, or at once when the link is down.
func (t *Terminal) chase(ctx context.Context, id ID, deadline time.Time) {
	for _, after := range t.cfg.Bounds.Queries {
		if t.waitUntil(ctx, id, deadline.Add(after)) {
			return
		}
		if up, _ := t.wallet.Link(); !up || ctx.Err() != nil {
			break
		}
		t.workers.Go(func() { t.query(ctx, id) }) // the next moment does not wait for its answer
	}
	// The answer to the last query gets as long as the authorisation had.
	if up, _ := t.wallet.Link(); up && t.waitUntil(ctx, id, time.Now().Add(t.cfg.Bounds.Answer)) {
		return
	}
	t.reverse(id, emv.ReasonTimeout, "the wallet did not say in time; reversed")
}

// waitUntil says whether the payment was answered before the moment; it
// returns early when the link goes down.
func (t *Terminal) waitUntil(ctx context.Context, id ID, moment time.Time) bool {
	const look = 100 * time.Millisecond // how soon a lost link is noticed
	for time.Now().Before(moment) {
		step, cancel := context.WithTimeout(ctx, min(look, time.Until(moment)))
		done := t.answered(step, id)
		cancel()
		if done {
			return true
		}
		if up, _ := t.wallet.Link(); !up || ctx.Err() != nil {
			return false
		}
	}
	return false
}

// query asks the wallet what it knows. Its answer arrives at Receive, too, perhaps
// a moment later.
func (t *Terminal) query(ctx context.Context, id ID) (wire.Status, bool) {
	now := time.Now()
	messageID, err := newID(now, t.random)
	if err != nil {
		return wire.Status{}, false // no randomness: the reversal follows
	}
	message, err := t.keys.Seal(wire.Header{ID: messageID, Time: now}, wire.Query{PaymentID: id})
	if err != nil {
		return wire.Status{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Bounds.Answer)
	defer cancel()
	// Without an answer the next query follows.
	m, err := t.wallet.Ask(ctx, wire.KindQuery, messageID, message)
	if err != nil {
		return wire.Status{}, false
	}
	status, ok := m.Data.(wire.Status)
	return status, ok
}

// reverse ends an unanswered payment as not paid: the reversal is in the
// outbox before anybody hears "not paid" (I3). A payment that was answered
// meanwhile stays as it is.
func (t *Terminal) reverse(id ID, reason emv.Reason, why string) {
	defer t.locks.lock("payment/" + id.String())()
	p, err := t.load(id)
	if err == nil && p.State != Authorising && p.State != Unknown {
		return
	}
	if err == nil {
		err = t.commitReversal(p, reason, nil, why)
	}
	if err != nil {
		t.fail(fmt.Errorf("store the reversal of %s: %w", id, err))
	}
}

// commitReversal makes a payment failed with its reversal in the outbox. The
// caller holds the payment's lock.
func (t *Terminal) commitReversal(p Payment, reason emv.Reason, abandoned []emv.Unanswered, why string) error {
	now := time.Now()
	id, err := newID(now, t.random)
	if err != nil {
		return err
	}
	next := p
	next.State, next.Settlement, next.Reason = Failed, Queued, reason
	next.abandon(abandoned)
	proof, err := t.proofKept(&p, sendReversal)
	if err != nil {
		return err
	}
	if next.AcceptedAt.IsZero() {
		next.AcceptedAt, next.BusinessDay = now, t.cfg.businessDay(now)
	}
	next.owe(sendReversal, id)
	counts := release(&next)
	c := t.change(p, &next, why)
	c.Entries = []Entry{t.entry(&next, sendReversal, id, 0, proof, now)}
	c.Counts = counts
	c.Records = append(c.Records, Record{kindPending, p.ID.String(), nil})
	_, err = t.insist(c)
	return err
}
