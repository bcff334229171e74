package main

import (
	"context"

	"tapkeeper/lane"
	"tapkeeper/queue"
	"tapkeeper/terminal"
	"tapkeeper/till"
)

// office shows a lane to the till.
type office struct{ lane *lane.Lane }

var _ till.Office = office{}

// listed bounds how many waiting messages the till is shown.
const listed = 100

func (o office) Status(context.Context) (till.Status, error) {
	s, err := o.lane.Status()
	if err != nil {
		return till.Status{}, err
	}
	out := till.Status{
		Version: s.Version, Merchant: s.Merchant, Terminal: s.Terminal, Since: s.Since, Day: s.Day,
		Reader: till.ReaderStatus{Name: s.Reader, Ready: s.ReaderState.Usable()},
		Wallet: till.WalletStatus{
			Broker: s.Broker, Up: s.Link.Up, Connected: s.Link.Connected, Since: s.Link.Since, Trouble: s.Link.Text,
		},
		Clock: till.ClockStatus{Trusted: s.ClockTrusted, Why: s.ClockWhy},
		Exposure: till.ExposureStatus{
			Payments: s.Exposure.Payments, MaxPayments: s.MaxExposure.Payments,
			SumMinor: s.Exposure.SumMinor, MaxSumMinor: s.MaxExposure.SumMinor, Currency: s.Currency,
		},
		Waiting: s.Waiting, Parked: s.Parked,
	}
	if !out.Reader.Ready {
		out.Reader.Trouble = s.ReaderState.String()
	}
	return out, nil
}

func (o office) Queue(context.Context) (till.Queue, error) {
	waiting, parked, err := o.lane.Entries(listed)
	if err != nil {
		return till.Queue{}, err
	}
	s, err := o.lane.Status()
	return till.Queue{Waiting: entries(waiting), Parked: entries(parked), Total: s.Waiting}, err
}

func entries(stored []queue.Stored) []till.Entry {
	out := make([]till.Entry, 0, len(stored))
	for _, s := range stored {
		out = append(out, till.Entry{ID: s.ID, Payment: s.Group, Kind: s.Kind, Sequence: s.Seq, Reason: s.Reason})
	}
	return out
}

func (o office) Reconcile(ctx context.Context, day string) ([]terminal.Reconciliation, error) {
	return o.lane.Reconcile(ctx, day)
}
