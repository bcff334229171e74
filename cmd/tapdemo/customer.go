package main

import (
	"context"
	"crypto/rand"
	"time"

	"tapkeeper/reader/readertest"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/phone"
)

// person is somebody with a phone and money in the wallet.
type person struct {
	id, name     string
	balanceMinor int64
	digits       [2]byte
}

var (
	liLei     = person{"li-lei", "李雷 Li Lei", 2000_00, [2]byte{0x43, 0x21}}
	hanMeimei = person{"han-meimei", "韩梅梅 Han Meimei", 30_00, [2]byte{0x87, 0x65}}
	customers = []person{liLei, hanMeimei}
)

// customer is a person's phone.
type customer struct {
	person
	wallet *phone.Wallet
	card   []byte // ADF name
}

// welcome opens a person's account and puts a card on the phone.
func (s *store) welcome(ctx context.Context, p person, now time.Time) error {
	err := backend.OpenPayer(ctx, s.ledger, "payer:"+p.id, p.name, currency, p.balanceMinor, now)
	if err != nil {
		return err
	}
	allowance := backend.Allowance{TotalMinor: 5_000_00, PerTapMinor: 200_00, MaxTaps: 60_000}
	profile, err := s.keys.Issuer.IssueCard(ctx, s.ledger, backend.Card{
		Account: "payer:" + p.id, Kind: backend.WalletBalance, Suffix: []byte{1},
		Label: "TapKeeper", Digits: p.digits, Allowance: &allowance,
	}, now, rand.Reader)
	if err != nil {
		return err
	}
	path := s.path("phone-" + p.id + ".json")
	if err := phone.SaveFile(path, phone.File{Cards: []phone.Profile{profile}}); err != nil {
		return err
	}
	w, err := phone.Open(path, phone.Options{})
	if err != nil {
		return err
	}
	s.phones[p.id] = &customer{person: p, wallet: w, card: profile.ADF}
	return nil
}

// ready is the phone, unlocked by its owner, as it comes to the reader.
func (c *customer) ready() readertest.Phone {
	c.wallet.Unlock(time.Now())
	return c.wallet
}

// watched is a phone that tells when it has decided about a payment, before its
// answer reaches the reader: the moment at which a terminal must not die, and
// does.
type watched struct {
	*phone.Wallet
	decided func()
}

// Transmit leaves the field after GENERATE AC instead of answering.
func (w watched) Transmit(command []byte) []byte {
	answer := w.Wallet.Transmit(command)
	if len(command) > 1 && command[0] == 0x80 && command[1] == 0xAE {
		w.decided()
		return nil
	}
	return answer
}
