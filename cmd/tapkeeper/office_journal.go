package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"tapkeeper/lane"
	"tapkeeper/queue"
	"tapkeeper/till"
)

// listed bounds how many waiting messages the till is shown.
const listed = 100

func (o office) Queue(_ context.Context, payment string) (till.Queue, error) {
	d := o.lane.Outbox()
	q := till.Queue{
		Waiting: []till.Entry{}, Parked: []till.Entry{},
		Total: d.Queued + d.Sent, Sent: d.Sent, Held: d.Held, Refused: d.Parked,
	}
	list, aside, err := o.lane.Entries(listed)
	if payment != "" {
		list, err = o.lane.Group(payment)
		aside = nil
	}
	if err != nil {
		return till.Queue{}, err
	}
	for _, e := range append(list, aside...) {
		to := &q.Waiting
		if e.State == queue.Parked || e.State == queue.Held {
			to = &q.Parked
		}
		*to = append(*to, till.Entry{ID: e.ID, Payment: e.Group, Kind: e.Kind, State: string(e.State), Sequence: e.Seq, Reason: e.Reason})
	}
	return q, nil
}

func (o office) Sync(context.Context) error {
	o.lane.SyncNow()
	return nil
}

func (o office) Hold(ctx context.Context, id, reason, by string) error {
	return tillError(o.lane.Hold(ctx, id, reason, by))
}

func (o office) Release(ctx context.Context, id, by string) error {
	return tillError(o.lane.Release(ctx, id, by))
}

func (o office) Verify(context.Context) (till.Verification, error) {
	return verified(o.lane.VerifyJournal())
}

func (o office) Key(context.Context) (till.MasterKey, error) {
	return till.MasterKey(o.lane.KeyState()), nil
}

func (o office) RotateKey(ctx context.Context, by string) (till.MasterKey, error) {
	k, err := o.lane.RotateKey(ctx, by)
	return till.MasterKey(k), tillError(err)
}

// tillError says in the till's words what a lane refuses.
func tillError(err error) error {
	switch {
	case errors.Is(err, lane.ErrNoEntry), errors.Is(err, lane.ErrNotWaiting):
		return fmt.Errorf("%w: %w", till.ErrNoMessage, err)
	case errors.Is(err, lane.ErrHandKey):
		return till.ErrKeyIsKept
	}
	return err
}

// verified tells damage, which is a finding, from an error.
func verified(r queue.Report, err error) (till.Verification, error) {
	v := till.Verification{
		OK: err == nil, Sequence: r.Head.Seq, Hash: hex.EncodeToString(r.Head.Hash[:]),
		Records: r.Records, Counters: r.Counters, Waiting: r.Waiting, Aside: r.Aside, Healed: r.Healed,
	}
	var damage *queue.DamageError
	if errors.As(err, &damage) {
		v.Damage = damage.Error()
		err = nil
	}
	return v, err
}
