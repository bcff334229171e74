package terminal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv"
)

const (
	// retryField is the pause before a missing reader is asked for again.
	retryField = 200 * time.Millisecond
	// answerGrace is what a command may take above the scheme's limit before
	// the reader is told to give up: the kernel itself judges the time taken.
	answerGrace = 250 * time.Millisecond
)

// attend has the field for one payment: taps until there is an outcome that is
// final for the kernel, then its commit.
func (t *Terminal) attend(life context.Context, id ID) {
	defer t.unclaim(id)
	ctx, cancel := context.WithCancelCause(life)
	defer cancel(nil)
	t.mu.Lock()
	if t.active != nil && t.active.id == id {
		if t.active.cancel = cancel; t.active.cancelled {
			cancel(errCancelled)
		}
	}
	t.mu.Unlock()

	if payment, ok, err := t.refundOfTap(id); ok || err != nil {
		if err != nil {
			t.fail(fmt.Errorf("take up refund %s: %w", id, err))
			return
		}
		t.attendRefund(ctx, id, payment)
		return
	}
	p, err := t.load(id)
	if err != nil {
		t.fail(fmt.Errorf("take up payment %s: %w", id, err))
		return
	}
	if t.acceptor != nil {
		t.attendCard(ctx, p)
		return
	}
	v := &visit{t: t, p: p, ctx: ctx}
	outcome, err := v.taps()
	if err != nil {
		t.fail(fmt.Errorf("keep payment %s: %w", id, err))
		return
	}
	t.conclude(v, outcome)
}

// visit is a payment while it has the field.
type visit struct {
	t       *Terminal
	p       Payment
	ctx     context.Context
	lists   Trust // of its beginning
	attempt *emv.Attempt
	pending bool         // on disk: the phone may have been asked to pay
	asked   int          // how many pending records this sale has stored
	key     *emv.KeyPair // for the next tap
	trace   Trace

	refundOf *ID       // the payment, when this is a refund of it; p has its id and amount
	sale     *emv.Sale // of a refund
}

// taps lets phones be tapped until the kernel has a final outcome. An error is
// the journal's: nothing more can be told about this payment before a restart.
func (v *visit) taps() (out emv.Outcome, err error) {
	sale := v.t.sale(&v.p)
	if v.sale != nil {
		sale = *v.sale
	}
	v.lists = v.t.lists()
	attempt, early := emv.Begin(v.t.cfg.Kernel, sale, v.t.lookups(v.lists))
	if early != nil {
		return *early, nil
	}
	v.attempt = attempt
	deadline := v.p.ExpiresAt
	for {
		// Made while nobody waits: it is time that the tap does not have.
		if v.key, err = emv.NewKeyPair(v.t.random); err != nil {
			return out, fmt.Errorf("draw a key: %w", err)
		}
		phone, err := v.await(deadline)
		if err != nil {
			return v.gaveUp(err), nil
		}
		out, err = v.tap(phone)
		if err != nil || out.Final() {
			return out, err
		}
		if v.pending && !out.KeepPending && v.asked == 1 {
			if err = v.dropPending(); err != nil {
				return out, err
			}
		}
		v.t.setHint(v.p.ID, hintOf(&out))
		if v.pending {
			deadline = time.Now().Add(v.t.cfg.Bounds.NextTap)
		}
	}
}

// await waits for one phone in the field until the deadline.
func (v *visit) await(deadline time.Time) (Phone, error) {
	ctx, cancel := context.WithDeadlineCause(v.ctx, deadline, errNoTap)
	defer cancel()
	for {
		phone, err := v.t.field.Await(ctx)
		switch {
		case err == nil:
			if ctx.Err() != nil {
				_ = phone.Release(0) // the tap came too late; nothing was sent to it
				return nil, context.Cause(ctx)
			}
			return phone, nil
		case errors.Is(err, ErrManyPhones):
			v.t.setHint(v.p.ID, HintOnePhoneOnly)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(retryField):
		}
	}
}

var errNoTap = errors.New("no phone was tapped in time")

// gaveUp is the outcome when no further tap comes.
func (v *visit) gaveUp(cause error) emv.Outcome {
	switch {
	case errors.Is(cause, errCancelled):
		return v.attempt.GiveUp(emv.ReasonCancelled)
	default: // no tap in time, or the daemon stops
		return v.attempt.GiveUp(emv.ReasonTimeout)
	}
}

// tap runs one activation of the field.
func (v *visit) tap(phone Phone) (emv.Outcome, error) {
	v.t.setHint(v.p.ID, HintHoldStill)
	x := v.attempt.Activate(v.t.moment(v.lists), v.t.random)
	x.UseKey(v.key)
	step := x.Start()
	for step.Outcome == nil {
		switch {
		case v.ctx.Err() != nil && !v.isSpent():
			// Nothing that changes the wallet has been sent in this tap.
			_ = phone.Release(0)
			return v.gaveUp(context.Cause(v.ctx)), nil
		case step.Store != nil:
			var limit *CapError
			switch err := v.storePending(step.Store); {
			case err == nil:
				step = x.Stored()
			case errors.As(err, &limit): // somebody was faster: decide again
				step = x.CapReached()
			case errors.Is(err, ErrUncertain):
				_ = phone.Release(0)
				return emv.Outcome{}, err
			default: // refused before the phone is asked (I16)
				_ = phone.Release(0)
				return v.attempt.GiveUp(whyRefused(err)), nil
			}
		default:
			step = v.exchange(x, phone, step)
		}
	}
	out := *step.Outcome
	// The field stays off as the scheme says; a reader that fails here is
	// noticed at the next Await.
	_ = phone.Release(out.FieldOff)
	v.spent(false)
	return out, nil
}

// whyRefused tells a full disk from a phone whose data cannot be kept.
func whyRefused(err error) emv.Reason {
	if errors.Is(err, ErrStorage) {
		return emv.ReasonCancelled
	}
	return emv.ReasonProtocol
}

// exchange sends a command and does the kernel's pure work while the phone
// answers.
func (v *visit) exchange(x *emv.Activation, phone Phone, step emv.Step) emv.Step {
	// Not v.ctx: a command on its way is never cut short by a cancel (scheme 5.3).
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.ctx), step.Send.Limit+answerGrace)
	defer cancel()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		if step.Work != nil {
			step.Work()
		}
	}()
	answer, took, err := phone.Transmit(ctx, step.Send.Bytes())
	<-worked
	v.trace.add(step.Send.Bytes(), answer, took, err)
	if err != nil {
		return x.Lost(took)
	}
	return x.Answer(answer, took)
}

// spent notes that the phone may be asked to pay, or that its answer is known.
func (v *visit) spent(yes bool) {
	v.t.mu.Lock()
	if a := v.t.active; a != nil && a.id == v.p.ID {
		a.spent = yes
	}
	v.t.mu.Unlock()
}

func (v *visit) isSpent() bool {
	v.t.mu.Lock()
	defer v.t.mu.Unlock()
	return v.t.active != nil && v.t.active.id == v.p.ID && v.t.active.spent
}

// hintOf tells the customer why to tap again.
func hintOf(out *emv.Outcome) Hint {
	switch out.Reason {
	case emv.ReasonUnlock:
		return HintUnlockPhone
	case emv.ReasonTooEarly:
		return HintMovedEarly
	}
	return HintTryAgain
}
