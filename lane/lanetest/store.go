// Package lanetest is the store around a daemon: an MQTT broker and a network
// that can be cut, the wallet's backend with its ledger, customers' phones, the
// field that they are held to, the files that a daemon reads, and the daemon as
// a child process that can be killed for real.
//
// Everything but the field with a real pcscd works without root and without a
// network. The parts are the real ones; keys, CRL and exceptions are fresh at
// each Open. It serves the tests of lane and cmd/tapdemo, imports neither testing
// nor the till, and is never linked into the daemon.
package lanetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"tapkeeper/lane"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/zvtsim"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

// The store's names.
const (
	Merchant       = "tea-house"
	MerchantName   = "小茶馆 Tea House"
	Terminal       = "till-1"
	SchemeTerminal = "TERM0001"
	Currency       = "CNY"
)

// Options of a store.
type Options struct {
	Dir    string // an empty folder, which the caller removes
	Reader string // "virtual", the default, "pcsc" for a real pcscd with a virtual card, "pn532" for a chip on a pty, or "zvt" for a card terminal
	Limits Limits
	People []Person
}

// Limits are what the terminal may accept without the wallet's receipt.
type Limits struct{ SumMinor, DeviceMinor int64 }

// Store is everything around the daemon. Its exported parts are there to be
// used and broken.
type Store struct {
	Dir     string
	Ledger  *ledger.Ledger
	Network *uplinktest.Relay // between the daemon and the broker
	PCSCD   *readertest.PCSCD // nil with the other readers
	Serial  *line.PTY         // of the chip or the card terminal, nil with the other readers
	Cards   *zvtsim.Terminal  // nil with the readers of phones
	Field   Field
	Phones  map[string]*Phone // by Person.ID

	keys    *backend.Keys
	broker  *uplinktest.Broker
	closing []func() error // in the order of opening
}

// Field is where phones are held to the reader. Wait returns when the phone that was removed is done with its last
// command.
type Field interface {
	readertest.Field
	Wait()
}

// Open opens a store; its daemon is the caller's to start.
func Open(ctx context.Context, o Options) (s *Store, err error) {
	s = &Store{Dir: o.Dir, Phones: map[string]*Phone{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := s.openWallet(ctx, o.People); err != nil {
		return s, fmt.Errorf("wallet: %w", err)
	}
	if err := s.openNetwork(); err != nil {
		return s, fmt.Errorf("network: %w", err)
	}
	if err := s.openReader(ctx, o.Reader); err != nil {
		return s, fmt.Errorf("reader: %w", err)
	}
	if err := s.writeFirmware(o.Limits); err != nil {
		return s, fmt.Errorf("firmware-config: %w", err)
	}
	return s, nil
}

// Path is a path in the store's folder.
func (s *Store) Path(name string) string { return filepath.Join(s.Dir, name) }

// Config is what a daemon in this store is opened with.
func (s *Store) Config() lane.Config {
	reader := lane.ReaderConfig{Kind: "virtual", Socket: s.Path("reader.sock")}
	if s.PCSCD != nil {
		reader = lane.ReaderConfig{Kind: "pcsc", Name: s.PCSCD.Reader}
	}
	switch {
	case s.Cards != nil:
		reader = lane.ReaderConfig{Kind: "zvt", Device: s.Serial.Path(), Currency: Currency, Baud: 115200}
	case s.Serial != nil:
		reader = lane.ReaderConfig{Kind: "pn532", Device: s.Serial.Path(), Fast: true}
	}
	return lane.Config{
		Environment: "test", DataDir: s.Path("data"), Merchant: Merchant, Terminal: Terminal, TerminalID: SchemeTerminal,
		Reader: reader,
		Wallet: lane.WalletConfig{Broker: s.Network.URL()},
		Keys: lane.KeysConfig{
			JournalMaster: s.Path("keys/journal-master"), TerminalSigning: s.Path("keys/terminal-signing.pem"),
			WalletSigning: s.Path("keys/wallet-signing.pem"), WalletEncryption: s.Path("keys/wallet-encryption.pem"),
		},
		Firmware: lane.FirmwareConfig{Dir: s.Path("firmware"), HotlistDir: s.Path("hotlist")},
	}
}

// Env is what a daemon in this store needs in its environment.
func (s *Store) Env() []string {
	if s.PCSCD == nil {
		return nil
	}
	return s.PCSCD.Env()
}

// openReader finds the field that phones are held to.
func (s *Store) openReader(ctx context.Context, kind string) error {
	switch kind {
	case "", "virtual":
		s.Field = &readertest.DialField{Network: "unix", Address: s.Path("reader.sock")}
		return nil
	case "pcsc":
		var err error
		if s.PCSCD, err = readertest.StartPCSCD(ctx, s.Path("pcscd")); err != nil {
			private := err
			if s.PCSCD, err = readertest.SystemPCSCD(); err != nil {
				return errors.Join(private, err)
			}
		}
		s.closing = append(s.closing, s.PCSCD.Close)
		s.Field = &readertest.DialField{Network: "tcp", Address: s.PCSCD.Address}
		return nil
	case "pn532":
		return s.openPN532()
	case "zvt":
		return s.openZVT()
	}
	return fmt.Errorf("%q: want virtual, pcsc, pn532 or zvt", kind)
}

// Close ends everything, the last first. The folder stays.
func (s *Store) Close() error {
	var errs []error
	if s.Field != nil {
		s.Field.Remove()
	}
	for i := len(s.closing) - 1; i >= 0; i-- {
		errs = append(errs, s.closing[i]())
	}
	s.closing = nil
	return errors.Join(errs...)
}
