package backend

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// The kit's cards may tap hundreds of times, and their owner may pay for it.
const (
	kitBalance     = 10_000_000
	kitTaps        = 10_000
	expiredForDays = 400 // a device certificate lives a year
)

// WriteTestKit prepares what the conformance suite needs of a wallet, and writes
// it into a new folder (docs/wallet-link.md, "Conformance"): three terminals are
// enrolled and six cards issued. The folder holds their private keys.
func WriteTestKit(ctx context.Context, l *ledger.Ledger, keys *Keys, dir, currency string, now time.Time) error {
	if _, err := os.Stat(filepath.Join(dir, "kit.json")); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write test kit: there is one in %s", dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, "phones"), 0o700); err != nil {
		return fmt.Errorf("write test kit: %w", err)
	}
	name := "conform-" + strings.ToLower(rand.Text()[:8]) // kits do not share accounts
	if err := kitCards(ctx, l, keys, dir, name, currency, now); err != nil {
		return fmt.Errorf("write test kit: %w", err)
	}
	public, err := keys.PublicFiles(now)
	if err != nil {
		return fmt.Errorf("write test kit: %w", err)
	}
	for _, file := range []string{"wallet-signing.pem", "wallet-encryption.pem"} {
		if err := os.WriteFile(filepath.Join(dir, file), public[file], 0o600); err != nil {
			return fmt.Errorf("write test kit: %w", err)
		}
	}
	if err := kitTerminals(ctx, l, dir, name, currency); err != nil {
		return fmt.Errorf("write test kit: %w", err)
	}
	return nil
}

// kitCards issues the cards, each to an account of its own.
func kitCards(ctx context.Context, l *ledger.Ledger, keys *Keys, dir, name, currency string, now time.Time) error {
	foreign, err := NewIssuer(now, rand.Reader)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name    string
		issuer  *Issuer
		balance int64
		issued  time.Time
		blocked bool
	}{
		{"payer", keys.Issuer, kitBalance, now, false},
		{"poor", keys.Issuer, 1, now, false},
		{"restricted", keys.Issuer, kitBalance, now, true},
		{"expired", keys.Issuer, kitBalance, now.AddDate(0, 0, -expiredForDays), false},
		{"foreign", foreign, kitBalance, now, false},
		{"cloned", keys.Issuer, kitBalance, now, false},
	} {
		account := name + "-" + c.name
		if err := OpenPayer(ctx, l, account, "Conformance "+c.name, currency, c.balance, now); err != nil {
			return err
		}
		p, err := c.issuer.IssueCard(ctx, l, Card{Account: account, Kind: WalletBalance, Label: "Conformance", Digits: [2]byte{0x00, 0x01},
			Allowance: &Allowance{TotalMinor: kitBalance, PerTapMinor: DefaultAllowance.PerTapMinor, MaxTaps: kitTaps}}, c.issued, rand.Reader)
		if err != nil {
			return err
		}
		if err := phone.SaveFile(filepath.Join(dir, "phones", c.name+".json"), phone.File{Cards: []phone.Profile{p}}); err != nil {
			return err
		}
		if err := l.Update(ctx, func(tx *ledger.Tx) error { return tx.SetBlocked(account, c.blocked) }); err != nil {
			return err
		}
	}
	return nil
}

type kitTerminal struct {
	Merchant       string `json:"merchant"`
	Terminal       string `json:"terminal"`
	SchemeTerminal string `json:"scheme_terminal"`
	SigningSeed    string `json:"signing_seed"`
}

// kitTerminals enrols the terminals and writes kit.json, last of all files.
func kitTerminals(ctx context.Context, l *ledger.Ledger, dir, name, currency string) error {
	terminals := map[string]kitTerminal{
		"own":       {Merchant: name, Terminal: "lane-1", SchemeTerminal: "CONF0001"},
		"neighbour": {Merchant: name, Terminal: "lane-2", SchemeTerminal: "CONF0002"},
		"stranger":  {Merchant: name + "-b", Terminal: "lane-1", SchemeTerminal: "CONF0003"},
	}
	for role, t := range terminals {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		t.SigningSeed = base64.RawURLEncoding.EncodeToString(private.Seed())
		terminals[role] = t
		err = EnrolTerminal(ctx, l, Enrolment{Address: wire.Address{Merchant: t.Merchant, Terminal: t.Terminal}, MerchantName: "Conformance",
			SchemeTerminal: t.SchemeTerminal, PublicKey: public, Currency: currency})
		if err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(map[string]any{"format": "tapkeeper-conform-kit-1", "currency": currency, "terminals": terminals}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kit.json"), append(text, '\n'), 0o600)
}
