package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/reader/readertest"
	"tapkeeper/till"
)

// The people of the story.
var (
	liLei     = lanetest.Person{ID: "li-lei", Name: "李雷 Li Lei", BalanceMinor: 2000_00, Digits: [2]byte{0x43, 0x21}}
	hanMeimei = lanetest.Person{ID: "han-meimei", Name: "韩梅梅 Han Meimei", BalanceMinor: 30_00, Digits: [2]byte{0x87, 0x65}}
)

var (
	// storyLimits are small, so that the story reaches them.
	storyLimits = lanetest.Limits{SumMinor: 60_00, DeviceMinor: 60_00}
	// roomyLimits are far away while playing or measuring.
	roomyLimits = lanetest.Limits{SumMinor: 1_000_000_00, DeviceMinor: 1_000_000_00}
)

// store is the store around the daemon, and the daemon itself with the till in
// front of it.
type store struct {
	*lanetest.Store
	binary string
	keep   bool
	dir    string
	daemon *lanetest.Daemon
	client *till.Client
}

// openStore opens the store with fresh keys, CRL and exceptions, and starts
// its daemon. What was opened is closed again when a later part fails.
func openStore(ctx context.Context, o options, limits lanetest.Limits) (s *store, err error) {
	s = &store{binary: o.daemon, keep: o.keep}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "tapdemo-"); err != nil {
		return s, err
	}
	s.Store, err = lanetest.Open(ctx, lanetest.Options{
		Dir: s.dir, Reader: o.reader, Limits: limits, People: []lanetest.Person{liLei, hanMeimei},
	})
	if err != nil {
		return s, err
	}
	if err := s.writeConfig(); err != nil {
		return s, fmt.Errorf("configuration: %w", err)
	}
	s.client = till.NewClient(s.Path("till.sock"))
	s.daemon = lanetest.NewDaemon(s.Path("daemon.log"), func() *exec.Cmd {
		cmd := exec.Command(s.binary, "serve", "--config", s.Path("tapkeeper.toml"))
		cmd.Env = append(os.Environ(), s.Env()...)
		return cmd
	})
	return s, s.start(ctx)
}

// writeConfig writes the daemon's configuration as an operator would.
func (s *store) writeConfig() error {
	c := s.Config()
	reader := fmt.Sprintf("kind = %q\nsocket = %q", c.Reader.Kind, c.Reader.Socket)
	switch c.Reader.Kind {
	case "pcsc":
		reader = fmt.Sprintf("kind = %q\nname = %q", c.Reader.Kind, c.Reader.Name)
	case "zvt":
		reader = fmt.Sprintf("kind = %q\ndevice = %q\ncurrency = %q\nbaud = %d", c.Reader.Kind, c.Reader.Device, c.Reader.Currency, c.Reader.Baud)
	case "pn532":
		reader = fmt.Sprintf("kind = %q\ndevice = %q\nfast = %t", c.Reader.Kind, c.Reader.Device, c.Reader.Fast)
	}
	return s.Write(map[string][]byte{"tapkeeper.toml": fmt.Appendf(nil, `environment = %q
data_dir = %q
merchant = %q
terminal = %q
terminal_id = %q

[till]
socket = %q

[reader]
%s

[wallet]
broker = %q

[keys]
journal_master = %q
terminal_signing = %q
wallet_signing = %q
wallet_encryption = %q

[firmware_config]
dir = %q
hotlist_dir = %q
`, c.Environment, c.DataDir, c.Merchant, c.Terminal, c.TerminalID, s.Path("till.sock"), reader, c.Wallet.Broker,
		c.Keys.JournalMaster, c.Keys.TerminalSigning, c.Keys.WalletSigning, c.Keys.WalletEncryption,
		c.Firmware.Dir, c.Firmware.HotlistDir)})
}

// start starts the daemon and waits until it answers.
func (s *store) start(ctx context.Context) error {
	if _, err := s.daemon.Start(); err != nil {
		return err
	}
	return s.until(ctx, "the daemon answers", func(st till.Status) bool { return st.Reader.Ready })
}

// patience bounds every wait of the demonstration.
const patience = 20 * time.Second

// until waits for the lane to be in a state.
func (s *store) until(ctx context.Context, what string, ok func(till.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	process, err := s.daemon.Process()
	if err != nil {
		return err
	}
	for {
		st, err := s.client.Status(ctx)
		if err == nil && ok(st) {
			return nil
		}
		select {
		case <-process.Done():
			return fmt.Errorf("the daemon ended (%v) before %s; its log ends:\n%s", process.Err(), what, s.daemon.Tail())
		case <-ctx.Done():
			return fmt.Errorf("waited until %s: %w", what, errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// pay opens a payment, holds the phone to the reader, and waits for what the
// till is told for good.
func (s *store) pay(ctx context.Context, phone readertest.Phone, order string, minor int64) (till.Payment, error) {
	p, err := s.open(ctx, order, minor)
	if err != nil {
		return p, err
	}
	if err := s.Field.Present(phone); err != nil {
		return p, err
	}
	p, err = s.outcome(ctx, p)
	s.Field.Remove()
	return p, err
}

func (s *store) open(ctx context.Context, order string, minor int64) (till.Payment, error) {
	return s.client.Open(ctx, till.OpenRequest{AmountMinor: minor, Currency: lanetest.Currency, OrderRef: order, Offline: "allow"})
}

// outcome waits for what the till is told for good.
func (s *store) outcome(ctx context.Context, p till.Payment) (till.Payment, error) {
	return s.client.Outcome(ctx, p.ID, patience)
}

// close ends everything, the last first, and removes the folder.
func (s *store) close() error {
	var errs []error
	if s.daemon != nil {
		errs = append(errs, s.daemon.Stop())
	}
	if s.Store != nil {
		errs = append(errs, s.Close())
	}
	if !s.keep && s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
