package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tapkeeper/reader/readertest"
	"tapkeeper/till"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

// The store's names.
const (
	merchant       = "tea-house"
	terminalName   = "till-1"
	schemeTerminal = "TERM0001"
	currency       = "CNY"
)

// store is everything around the daemon.
type store struct {
	dir     string
	keep    bool
	ledger  *ledger.Ledger
	keys    *backend.Keys
	broker  *uplinktest.Broker
	network *uplinktest.Relay // between the daemon and the broker
	pcscd   *readertest.PCSCD // nil with the virtual reader
	field   *readertest.DialField
	phones  map[string]*customer
	daemon  *daemon
	client  *till.Client
	closing []func() error
}

// openStore opens the store with fresh keys, CRL and exceptions, and starts
// its daemon.
func openStore(ctx context.Context, o options, limits limits) (s *store, err error) {
	s = &store{keep: o.keep, phones: map[string]*customer{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "tapdemo-"); err != nil {
		return s, err
	}
	if err := s.openWallet(ctx); err != nil {
		return s, fmt.Errorf("wallet: %w", err)
	}
	if err := s.openNetwork(); err != nil {
		return s, fmt.Errorf("network: %w", err)
	}
	if err := s.openReader(ctx, o.reader); err != nil {
		return s, fmt.Errorf("reader: %w", err)
	}
	if err := s.writeFirmware(limits); err != nil {
		return s, fmt.Errorf("firmware-config: %w", err)
	}
	if err := s.writeConfig(); err != nil {
		return s, fmt.Errorf("configuration: %w", err)
	}
	s.client = till.NewClient(s.path("till.sock"))
	s.daemon = newDaemon(o.daemon, s.path("tapkeeper.toml"), s.path("daemon.log"), s.environment())
	if err := s.start(ctx); err != nil {
		return s, err
	}
	return s, nil
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *store) environment() []string {
	if s.pcscd == nil {
		return nil
	}
	return s.pcscd.Env()
}

// start starts the daemon and waits until it answers.
func (s *store) start(ctx context.Context) error {
	if err := s.daemon.start(); err != nil {
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
	var last error
	process := s.daemon.current()
	if process == nil {
		return errors.New("the daemon does not run")
	}
	for {
		st, err := s.client.Status(ctx)
		if err == nil && ok(st) {
			return nil
		}
		last = err
		select {
		case <-process.done:
			return fmt.Errorf("the daemon ended (%v) before %s; its log ends:\n%s", process.err, what, s.daemon.tail())
		case <-ctx.Done():
			return fmt.Errorf("waited %s until %s: %w", patience, what, errors.Join(last, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// openWallet opens the ledger, makes the wallet's keys and enrols the terminal.
func (s *store) openWallet(ctx context.Context) error {
	now := time.Now()
	var err error
	if s.ledger, err = ledger.Open(ctx, s.path("ledger.db")); err != nil {
		return err
	}
	s.closing = append(s.closing, s.ledger.Close)
	issuer, err := backend.NewIssuer(now, rand.Reader)
	if err != nil {
		return err
	}
	if s.keys, err = backend.NewKeys(issuer, rand.Reader); err != nil {
		return err
	}
	public, err := s.writeKeys()
	if err != nil {
		return err
	}
	err = backend.EnrolTerminal(ctx, s.ledger, backend.Enrolment{
		Address: wire.Address{Merchant: merchant, Terminal: terminalName}, MerchantName: "小茶馆 Tea House",
		SchemeTerminal: schemeTerminal, PublicKey: public, Currency: currency,
	})
	if err != nil {
		return err
	}
	for _, c := range customers {
		if err := s.welcome(ctx, c, now); err != nil {
			return fmt.Errorf("customer %s: %w", c.name, err)
		}
	}
	return nil
}

// openNetwork starts the broker with the wallet behind it, and the network that
// the daemon reaches it over.
func (s *store) openNetwork() error {
	verifier, err := s.keys.Issuer.Verifier()
	if err != nil {
		return err
	}
	service, err := backend.NewService(backend.Config{
		Ledger: s.ledger, Verifier: verifier, Signing: s.keys.Signing, Decryption: s.keys.Decryption,
	})
	if err != nil {
		return err
	}
	if s.broker, err = uplinktest.NewBroker(uplinktest.Options{}); err != nil {
		return err
	}
	s.closing = append(s.closing, func() error { s.broker.Stop(); return nil })
	if err := s.broker.Serve(wire.UpFilter, answering(service)); err != nil {
		return err
	}
	if s.network, err = uplinktest.NewRelay(s.broker.Addr()); err != nil {
		return err
	}
	s.closing = append(s.closing, func() error { s.network.Close(); return nil })
	return nil
}

// answering lets the wallet's backend answer inside the broker.
func answering(service *backend.Service) uplinktest.Handler {
	return func(topic string, payload []byte) []uplinktest.Publication {
		answers, err := service.Handle(context.Background(), topic, payload)
		if err != nil {
			return nil // the terminal resends
		}
		out := make([]uplinktest.Publication, 0, len(answers))
		for _, a := range answers {
			out = append(out, uplinktest.Publication(a))
		}
		return out
	}
}

// openReader finds the field that phones are held to.
func (s *store) openReader(ctx context.Context, kind string) error {
	switch kind {
	case "virtual":
		s.field = &readertest.DialField{Network: "unix", Address: s.path("reader.sock")}
		return nil
	case "pcsc":
		var err error
		if s.pcscd, err = readertest.StartPCSCD(ctx, s.path("pcscd")); err != nil {
			private := err
			if s.pcscd, err = readertest.SystemPCSCD(); err != nil {
				return errors.Join(private, err)
			}
		}
		s.closing = append(s.closing, s.pcscd.Close)
		s.field = &readertest.DialField{Network: "tcp", Address: s.pcscd.Address}
		return nil
	}
	return fmt.Errorf("%q: want virtual or pcsc", kind)
}

// close ends everything, the last first, and removes the folder.
func (s *store) close() error {
	var errs []error
	if s.field != nil {
		s.field.Remove()
	}
	if s.daemon != nil {
		errs = append(errs, s.daemon.stop())
	}
	for i := len(s.closing) - 1; i >= 0; i-- {
		errs = append(errs, s.closing[i]())
	}
	if !s.keep && s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
