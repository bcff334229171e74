package main

import (
	"context"
	"time"

	"tapkeeper/lane"
	"tapkeeper/terminal"
	"tapkeeper/till"
)

// office shows a lane to the till.
type office struct{ lane *lane.Lane }

var _ till.Office = office{}

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
		Hotlist: hotlistOf(s.Hotlist, time.Now()),
		Waiting: s.Waiting, Parked: s.Parked,
	}
	out.Disk = till.DiskStatus{Free: s.Disk.Free, Need: s.Disk.Need, Full: s.Disk.Full, Trouble: s.DiskTrouble}
	if !out.Reader.Ready {
		out.Reader.Trouble = o.lane.ReaderTrouble()
	}
	return out, nil
}

func hotlistOf(h lane.HotlistStatus, now time.Time) till.HotlistStatus {
	list := func(version int64, issued time.Time, entries int) till.ListStatus {
		return till.ListStatus{Version: version, IssuedAt: issued, AgeDays: max(0, int(now.Sub(issued)/(24*time.Hour))), Entries: entries}
	}
	return till.HotlistStatus{
		Revocations:   list(h.CRLVersion, h.CRLIssued, h.Revoked),
		Exceptions:    list(h.ExceptionsVersion, h.ExceptionsIssued, h.Blocked),
		OrdersRefused: h.Refused, LastRefused: h.LastRefused,
	}
}

func (o office) Reconcile(ctx context.Context, day string) ([]terminal.Reconciliation, error) {
	return o.lane.Reconcile(ctx, day)
}
