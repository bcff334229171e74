package lanetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

// openWallet opens the ledger, makes the wallet's keys and enrols the terminal.
func (s *Store) openWallet(ctx context.Context, people []Person) error {
	now := time.Now()
	var err error
	if s.Ledger, err = ledger.Open(ctx, s.Path("ledger.db")); err != nil {
		return err
	}
	s.closing = append(s.closing, s.Ledger.Close)
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
	err = backend.EnrolTerminal(ctx, s.Ledger, backend.Enrolment{
		Address: wire.Address{Merchant: Merchant, Terminal: Terminal}, MerchantName: MerchantName,
		SchemeTerminal: SchemeTerminal, PublicKey: public, Currency: Currency,
	})
	if err != nil {
		return err
	}
	for _, p := range people {
		if err := s.welcome(ctx, p, now); err != nil {
			return fmt.Errorf("customer %s: %w", p.Name, err)
		}
	}
	return nil
}

// openNetwork starts the broker with the wallet behind it, and the network that
// the daemon reaches it over.
func (s *Store) openNetwork() error {
	verifier, err := s.keys.Issuer.Verifier()
	if err != nil {
		return err
	}
	service, err := backend.NewService(backend.Config{
		Ledger: s.Ledger, Verifier: verifier, Signing: s.keys.Signing, Decryption: s.keys.Decryption,
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
	if s.Network, err = uplinktest.NewRelay(s.broker.Addr()); err != nil {
		return err
	}
	s.closing = append(s.closing, func() error { s.Network.Close(); return nil })
	return nil
}

// Keys are the wallet's, for a backend of one's own on the store's ledger.
func (s *Store) Keys() *backend.Keys { return s.keys }

// Watch shows every message that passes the broker, both ways. It must not block.
func (s *Store) Watch(see func(topic string, payload []byte)) error {
	return s.broker.Serve("tapkeeper/v1/#", func(topic string, payload []byte) []uplinktest.Publication {
		see(topic, payload)
		return nil
	})
}

// Publish puts a message into the broker, as somebody could who holds it.
func (s *Store) Publish(topic string, payload []byte) error {
	return s.broker.Publish(uplinktest.Publication{Topic: topic, Payload: payload})
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

// Money is where all of it is.
type Money struct {
	SpentMinor int64 // what the payers have less than they had at Open
	ClaimMinor int64 // what the wallet owes the merchant
}

// Money reads the accounts. It is an error when the ledger is not sound.
func (s *Store) Money(ctx context.Context) (Money, error) {
	findings, err := s.Ledger.Check(ctx)
	if err != nil {
		return Money{}, err
	}
	if len(findings) > 0 {
		return Money{}, fmt.Errorf("the ledger is not sound: %q", findings)
	}
	accounts, err := s.Ledger.Accounts(ctx)
	if err != nil {
		return Money{}, err
	}
	var m Money
	for _, a := range accounts {
		switch a.Kind {
		case ledger.MerchantAccount:
			m.ClaimMinor += a.BalanceMinor
		case ledger.PayerAccount:
			m.SpentMinor -= a.BalanceMinor
		}
	}
	for _, p := range s.Phones {
		m.SpentMinor += p.BalanceMinor
	}
	return m, nil
}

// Row reads what the ledger knows of a payment; false when it is nothing.
func (s *Store) Row(ctx context.Context, payment [16]byte) (row ledger.Payment, known bool, err error) {
	err = s.Ledger.View(ctx, func(tx *ledger.Tx) (err error) {
		row, err = tx.Payment(payment)
		return err
	})
	if errors.Is(err, ledger.ErrNone) {
		return row, false, nil
	}
	return row, err == nil, err
}
