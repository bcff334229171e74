package lanetest

import (
	"context"
	"crypto/rand"
	"time"

	"tapkeeper/reader/readertest"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/phone"
)

// Person is somebody with a phone and money in the wallet.
type Person struct {
	ID, Name     string
	BalanceMinor int64
	Digits       [2]byte // the last four of the card
}

// Phone is a person's phone.
type Phone struct {
	Person
	wallet *phone.Wallet
}

// welcome opens a person's account and puts a card on the phone.
func (s *Store) welcome(ctx context.Context, p Person, now time.Time) error {
	err := backend.OpenPayer(ctx, s.Ledger, "payer:"+p.ID, p.Name, Currency, p.BalanceMinor, now)
	if err != nil {
		return err
	}
	allowance := backend.Allowance{TotalMinor: 5_000_00, PerTapMinor: 200_00, MaxTaps: 60_000}
	profile, err := s.keys.Issuer.IssueCard(ctx, s.Ledger, backend.Card{
		Account: "payer:" + p.ID, Kind: backend.WalletBalance, Suffix: []byte{1},
		Label: "TapKeeper", Digits: p.Digits, Allowance: &allowance,
	}, now, rand.Reader)
	if err != nil {
		return err
	}
	path := s.Path("phone-" + p.ID + ".json")
	if err := phone.SaveFile(path, phone.File{Cards: []phone.Profile{profile}}); err != nil {
		return err
	}
	w, err := phone.Open(path, phone.Options{})
	if err != nil {
		return err
	}
	s.Phones[p.ID] = &Phone{Person: p, wallet: w}
	return nil
}

// Ready is the phone, unlocked by its owner, as it comes to the reader.
func (p *Phone) Ready() readertest.Phone {
	p.wallet.Unlock(time.Now())
	return p.wallet
}

// Watched is the ready phone that tells when it has decided about a payment,
// before its answer reaches the reader: the moment at which a terminal must not
// die, and does. It leaves the field instead of answering when decided says so.
func (p *Phone) Watched(decided func() (leave bool)) readertest.Phone {
	p.wallet.Unlock(time.Now())
	return watched{p.wallet, decided}
}

type watched struct {
	*phone.Wallet
	decided func() (leave bool)
}

// Transmit watches for GENERATE AC (scheme 5.1).
func (w watched) Transmit(command []byte) []byte {
	answer := w.Wallet.Transmit(command)
	asked := len(command) > 1 && command[0] == 0x80 && command[1] == 0xAE
	done := len(answer) > 2 && answer[len(answer)-2] == 0x90
	if asked && done && w.decided() {
		return nil
	}
	return answer
}
