package lane_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/lane"
	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/wallet/ledger"
)

// life is one life of a lane in this process.
func life(t *testing.T, s *lanetest.Store) (*court, func()) {
	t.Helper()
	c := &court{T: t, store: s, secrets: map[string][]byte{}}
	var err error
	if c.lane, err = lane.Open(s.Config(), "test", zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- c.lane.Run(ctx, func() { close(ready) }) }()
	<-ready
	return c, func() {
		t.Helper()
		stop()
		if err := errors.Join(<-ended, c.lane.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestRestoredBackup: somebody puts an older copy of the journal back. The wallet
// was told of a later head; the first echo tells, no payment is taken on the copy,
// also after a restart without the wallet, until the wallet's operator lets it.
func TestRestoredBackup(t *testing.T) {
	dir, err := os.MkdirTemp("", "lane-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := lanetest.Open(t.Context(), lanetest.Options{
		Dir: dir, People: []lanetest.Person{rich}, Limits: lanetest.Limits{SumMinor: 1_000_000_00, DeviceMinor: 1_000_000_00},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	kept := func() uint64 {
		var h ledger.Head
		err := s.Ledger.View(t.Context(), func(tx *ledger.Tx) (err error) {
			h, err = tx.Head(lanetest.Merchant, lanetest.Terminal)
			return err
		})
		if err != nil && !errors.Is(err, ledger.ErrNone) {
			t.Fatal(err)
		}
		return h.Sequence
	}
	journal, backup := s.Path("data/journal"), s.Path("backup")

	c, stop := life(t, s)
	c.connected(true)
	c.settled(c.pay(rich, "before", 10_00).ID)
	stop()
	if err := os.CopyFS(backup, os.DirFS(journal)); err != nil {
		t.Fatal(err)
	}

	c, stop = life(t, s)
	c.connected(true)
	lost := c.pay(rich, "lost with the copy", 20_00)
	c.settled(lost.ID)
	was := kept()
	// A reconciliation tells the head as an echo does; the second proves the first.
	for range 2 {
		if _, err := c.lane.Reconcile(t.Context(), lost.BusinessDay); err != nil {
			t.Fatal(err)
		}
	}
	if now := kept(); now <= was {
		t.Fatalf("the wallet keeps event %d, and kept %d before", now, was)
	}
	stop()

	if err := errors.Join(os.RemoveAll(journal), os.CopyFS(journal, os.DirFS(backup))); err != nil {
		t.Fatal(err)
	}
	open := func(c *court, order string) error {
		p, err := c.lane.Terminal().Open(t.Context(), terminal.Request{
			OrderRef: order, AmountMinor: 100, Currency: lanetest.Currency, Offline: terminal.OfflineAllow, ExpiresIn: time.Minute})
		if err == nil {
			_, err = c.lane.Terminal().Cancel(t.Context(), p.ID)
		}
		return err
	}
	c, stop = life(t, s)
	c.connected(true)
	c.until("the older copy is noticed", func() bool { return errors.Is(open(c, "on the copy"), terminal.ErrOldCopy) })
	r, err := c.lane.Reconcile(t.Context(), lost.BusinessDay)
	if err != nil || len(r) != 1 || count(r[0].Differences)["payment only_there: person"] != 1 {
		t.Errorf("the day: %+v, %v", r, err)
	}
	stop()

	if err := s.Network.Refuse(true); err != nil {
		t.Fatal(err)
	}
	c, stop = life(t, s)
	if err := open(c, "offline"); !errors.Is(err, terminal.ErrOldCopy) {
		t.Errorf("after a restart without the wallet: %v", err)
	}
	err = s.Ledger.Update(t.Context(), func(tx *ledger.Tx) error { return tx.ForgetHead(lanetest.Merchant, lanetest.Terminal) })
	if err != nil {
		t.Fatal(err)
	}
	c.connected(true)
	c.until("payments are taken again", func() bool { return open(c, "enrolled anew") == nil })
	stop()
}
