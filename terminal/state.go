package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// load reads a payment from the journal.
func (t *Terminal) load(id ID) (Payment, error) {
	p, _, err := t.loadRaw(id)
	return p, err
}

// loadRaw reads a payment and its record, for a guard.
func (t *Terminal) loadRaw(id ID) (p Payment, raw []byte, err error) {
	raw, ok, err := t.journal.Get(kindPayment, id.String())
	if err != nil {
		return Payment{}, nil, fmt.Errorf("read payment %s: %w", id, err)
	}
	if !ok {
		return Payment{}, nil, ErrNotFound
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return Payment{}, nil, fmt.Errorf("read payment %s: %w", id, err)
	}
	return p, raw, nil
}

// Payment returns a payment as it is on disk, with the hint of the moment.
func (t *Terminal) Payment(id ID) (Payment, error) {
	p, err := t.load(id)
	if err == nil && !p.State.Ended() {
		t.mu.Lock()
		p.Hint = t.hints[id]
		t.mu.Unlock()
	}
	if f, ok := t.journal.(Forwarded); ok {
		for i := range p.Refunds {
			if b := &p.Refunds[i]; b.State == RefundQueued && f.Sent(b.Message) {
				b.State = RefundSent
			}
		}
	}
	return p, err
}

// Order returns the payments of an order, oldest first.
func (t *Terminal) Order(ref string) ([]Payment, error) {
	if ref == "" || len(ref) > maxOrderRef {
		return nil, ErrNotFound // no payment could have been opened with it
	}
	ids, _, err := t.order(ref)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, ErrNotFound
	}
	payments := make([]Payment, 0, len(ids))
	for _, id := range ids {
		p, err := t.Payment(id)
		if err != nil {
			return nil, err
		}
		payments = append(payments, p)
	}
	return payments, nil
}

// Day returns the payments of a business day that came to an outcome, in the
// order of their ids.
func (t *Terminal) Day(day string) ([]Payment, error) {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return nil, &RequestError{"day", "YYYY-MM-DD"}
	}
	var payments []Payment
	err := t.journal.Each(kindDay+day, "", func(_ string, id []byte) error {
		pid, err := ParseID(string(id))
		if err != nil {
			return err
		}
		p, err := t.load(pid)
		payments = append(payments, p)
		return err
	})
	return payments, err
}

// Wait returns the payment once its revision is above the given one, or as it
// is when ctx ends.
func (t *Terminal) Wait(ctx context.Context, id ID, revision int) (Payment, error) {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		p, err := t.Payment(id)
		if err != nil || p.Revision > revision {
			return p, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return p, nil
		}
	}
}

// change prepares the commit of a payment's next state: the record, its event
// and the index that a restart looks at.
func (t *Terminal) change(from Payment, p *Payment, why string) Commit {
	p.Revision = from.Revision + 1
	p.Hint = ""
	id := p.ID.String()
	c := Commit{Records: []Record{{kindPayment, id, mustJSON(p)}}}
	if from.Revision > 0 && p.State.Ended() && !from.State.Ended() {
		c.Records = append(c.Records, Record{kindOpen, id, nil})
	}
	if p.BusinessDay != "" && from.BusinessDay == "" {
		c.Records = append(c.Records, Record{kindDay + p.BusinessDay, id, []byte(id)})
	}
	c.Event = mustJSON(Step{
		At: time.Now(), Payment: id, Revision: p.Revision, From: from.State, To: p.State,
		Settlement: p.Settlement, Reason: p.Reason, Why: why,
	})
	return c
}

// insist is commit for what must be kept whatever it takes: while the journal
// has no room, it tries again, and nobody is told anything meanwhile (I4, I16).
func (t *Terminal) insist(c Commit) (uint64, error) {
	for {
		seq, err := t.commit(context.Background(), c)
		if !errors.Is(err, ErrStorage) || !t.running() {
			return seq, err
		}
		time.Sleep(retryStorage)
	}
}

// retryStorage is the pause before the journal is tried again.
const retryStorage = 500 * time.Millisecond

// running says whether Run goes on.
func (t *Terminal) running() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.life != nil && t.life.Err() == nil
}

// commit makes c durable and tells whoever waits. An uncertain commit stops
// the terminal: only a fresh start can read the truth.
func (t *Terminal) commit(ctx context.Context, c Commit) (uint64, error) {
	if err := t.failure(); err != nil {
		return 0, err
	}
	seq, err := t.journal.Commit(context.WithoutCancel(ctx), c)
	if errors.Is(err, ErrUncertain) {
		t.mu.Lock()
		t.fatal = err
		t.mu.Unlock()
	}
	t.announce()
	return seq, err
}

// announce wakes everybody who waits for a change.
func (t *Terminal) announce() {
	t.mu.Lock()
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()
}

// Changed is closed at the next change of any payment.
func (t *Terminal) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *Terminal) setHint(id ID, h Hint) {
	t.mu.Lock()
	if h == "" {
		delete(t.hints, id)
	} else {
		t.hints[id] = h
	}
	t.mu.Unlock()
	t.announce()
}

// claim takes the field for a payment.
func (t *Terminal) claim(id ID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active != nil {
		return &BusyError{Payment: t.active.id}
	}
	t.active = &active{id: id}
	return nil
}

func (t *Terminal) unclaim(id ID) {
	t.mu.Lock()
	if t.active != nil && t.active.id == id {
		t.active = nil
	}
	delete(t.hints, id)
	t.mu.Unlock()
}

// accepting says whether a payment may be opened now.
func (t *Terminal) accepting() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fatal != nil {
		return t.fatal
	}
	if !t.ready {
		return ErrNotReady
	}
	return nil
}

func (t *Terminal) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fatal
}

// watchFatal stops ctx when the journal loses certainty, and returns what Run
// shall report.
func (t *Terminal) watchFatal(ctx context.Context, stop context.CancelCauseFunc) func() error {
	t.workers.Go(func() {
		for {
			changed := t.Changed()
			if err := t.failure(); err != nil {
				stop(err)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return t.failure
}

// mustJSON encodes our own types, which always encode.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("terminal: a type of ours does not encode: " + err.Error())
	}
	return b
}
