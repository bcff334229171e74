package lane

import (
	"time"

	"tapkeeper/queue"
	"tapkeeper/reader"
	"tapkeeper/uplink"
)

// Status is the lane at a glance.
type Status struct {
	Version, Merchant, Terminal string
	Since                       time.Time
	Day                         string
	Reader                      string
	ReaderState                 reader.State
	Broker                      string
	Link                        uplink.Status
	ClockTrusted                bool
	ClockWhy                    string
	Exposure, MaxExposure       Exposure
	Currency                    string // of the exposure
	Waiting, Parked             int
	Disk                        queue.Disk
	DiskTrouble                 string // the disk does not tell
	Hotlist                     HotlistStatus
}

// HotlistStatus is what is in force of both lists, from files or from the wallet.
type HotlistStatus struct {
	CRLVersion, ExceptionsVersion int64 // 0: none was issued yet
	CRLIssued, ExceptionsIssued   time.Time
	Revoked, Blocked              int
	// Refused counts the wallet's orders that were not taken, by a closed list of
	// names; LastRefused says which the last was, and why.
	Refused     map[string]int64
	LastRefused string
}

// Exposure is what is accepted offline and without the wallet's receipt.
type Exposure struct{ Payments, SumMinor int64 }

// Status reads the lane's parts as they are now.
func (l *Lane) Status() (Status, error) {
	now := time.Now()
	held, most, err := l.terminal.Exposure()
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Version: l.version, Merchant: l.cfg.Merchant, Terminal: l.cfg.Terminal, Since: l.since,
		Day: l.terminal.BusinessDay(now), Reader: l.reader.Name(),
		Broker: l.cfg.Wallet.Broker, Link: l.link.Status(),
		Exposure:    Exposure{held.Payments, held.SumMinor},
		MaxExposure: Exposure{most.Payments, most.SumMinor}, Currency: l.terminal.Currency(),
	}
	if took, stuck := l.handling.stuck(now); stuck {
		s.Link.Up, s.Link.Connected = false, false
		s.Link.Text = "a message of the wallet has not got into the journal for " + took.Round(time.Second).String()
	}
	_, s.ReaderState = l.Reader()
	s.ClockTrusted, s.ClockWhy = l.clock.judge(now)
	s.Hotlist = l.hotlist.status()
	s.Waiting, s.Parked = l.store.Depth()
	if s.Disk, err = l.store.Disk(); err != nil {
		s.DiskTrouble = err.Error()
	}
	return s, nil
}

// Entries lists the outbox: the oldest that wait, and all that are parked.
func (l *Lane) Entries(limit int) (waiting, parked []queue.Stored, err error) {
	if waiting, err = l.store.Waiting(limit); err != nil {
		return nil, nil, err
	}
	parked, err = l.store.Parked()
	return waiting, parked, err
}

// Reader is the reader's name and what it is doing. It is cheap and never blocks.
func (l *Lane) Reader() (string, reader.State) {
	if r, ok := l.reader.(reader.Stater); ok {
		return l.reader.Name(), r.State()
	}
	return l.reader.Name(), reader.Ready
}
