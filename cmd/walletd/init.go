package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// terminalKeyMax bounds a key file; a wrong path must not fill the memory.
const terminalKeyMax = 64 << 10

// enrolment are the flags that name a terminal.
type enrolment struct{ merchant, terminal, name, scheme, key, currency string }

func (e *enrolment) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&e.merchant, "merchant", "demo-store", "the merchant's id, as in topics and taps")
	f.StringVar(&e.terminal, "terminal", "lane-1", "the terminal's id, as in topics")
	f.StringVar(&e.name, "merchant-name", "Demo Store", "the merchant's name")
	f.StringVar(&e.scheme, "scheme-terminal", "TERM0001", "the terminal's id in the tap, up to 8 letters and digits")
	f.StringVar(&e.key, "terminal-key", "", "the terminal's Ed25519 public key, a PEM file")
	f.StringVar(&e.currency, "currency", "CNY", "ISO 4217 code of the accounts")
}

// enrol reads the key file and registers the terminal.
func (e *enrolment) enrol(ctx context.Context, l *ledger.Ledger) error {
	key, err := readTerminalKey(e.key)
	if err != nil {
		return err
	}
	err = backend.EnrolTerminal(ctx, l, backend.Enrolment{Address: wire.Address{Merchant: e.merchant, Terminal: e.terminal},
		MerchantName: e.name, SchemeTerminal: e.scheme, PublicKey: key, Currency: e.currency})
	if err != nil {
		return &failure{exitConfig, err, "ids of topics are 1 to 32 of a-z, 0-9 and -"}
	}
	return nil
}

func readTerminalKey(path string) (ed25519.PublicKey, error) {
	hint := "make one with: openssl pkey -in terminal.key -pubout -out terminal.pem"
	f, err := os.Open(path)
	if err != nil {
		return nil, &failure{exitConfig, fmt.Errorf("read the terminal's key: %w", err), hint}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, terminalKeyMax))
	if err != nil {
		return nil, &failure{exitConfig, fmt.Errorf("read the terminal's key: %w", err), hint}
	}
	if block, _ := pem.Decode(text); block != nil {
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if key, ok := parsed.(ed25519.PublicKey); ok && err == nil {
			return key, nil
		}
	}
	return nil, &failure{exitConfig, fmt.Errorf("%s: want an Ed25519 public key in PEM", path), hint}
}

func newEnrol(s *shared) *cobra.Command {
	e := &enrolment{}
	c := &cobra.Command{
		Use: "enrol --terminal-key FILE", Short: "Register a terminal, or its new key",
		RunE: func(c *cobra.Command, _ []string) error {
			return withLedger(c.Context(), s, func(l *ledger.Ledger) error { return e.enrol(c.Context(), l) })
		},
	}
	e.flags(c)
	return c
}

func newInit(s *shared) *cobra.Command {
	e := &enrolment{}
	c := &cobra.Command{
		Use: "init", Short: "Make a wallet: keys, ledger, demonstration accounts and phones",
		RunE: func(c *cobra.Command, _ []string) error {
			return initialise(c.Context(), c.OutOrStdout(), s, e, time.Now())
		},
	}
	e.flags(c)
	return c
}

// demonstration are the accounts of a new wallet: one that can pay, one that
// runs out of money, one that may not pay.
var demonstration = [...]struct {
	id, owner string
	balance   int64
	blocked   bool
}{
	{"alice", "Alice", 100_000, false},
	{"bob", "Bob", 500, false},
	{"carol", "Carol", 100_000, true},
}

// initialise fills a folder. The keys come last but for the report: a folder
// with keys is a whole one, and only a whole one is refused.
func initialise(ctx context.Context, w io.Writer, s *shared, e *enrolment, now time.Time) error {
	dir := s.dir
	if _, err := os.Stat(filepath.Join(dir, keysName)); !errors.Is(err, fs.ErrNotExist) {
		return &failure{exitConfig, fmt.Errorf("there is a wallet in %s", dir), "choose another folder, or remove this one and all its cards with it"}
	}
	if err := os.MkdirAll(filepath.Join(dir, phonesName), 0o700); err != nil {
		return &failure{exitConfig, err, "choose a folder that you may write to with --dir"}
	}
	issuer, err := backend.NewIssuer(now, rand.Reader)
	if err != nil {
		return err
	}
	keys, err := backend.NewKeys(issuer, rand.Reader)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, ledgerName)
	for _, left := range []string{path, path + "-wal", path + "-shm"} { // of an init that was cut short: its keys are gone
		if _, file := s.books(); !file {
			break // a database is for its owner to empty
		}
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if _, file := s.books(); file {
		if err := os.WriteFile(path, nil, 0o600); err != nil { // what openLedger asks for
			return &failure{exitUnavailable, err, "look at the disk and at who owns the folder " + dir}
		}
	}
	l, err := openLedger(ctx, s)
	if err != nil {
		return err
	}
	if err := errors.Join(populate(ctx, l, issuer, dir, e, now), l.Close()); err != nil {
		return err
	}
	if err := writePublic(filepath.Join(dir, publicName), keys, now); err != nil {
		return err
	}
	if err := backend.SaveKeys(filepath.Join(dir, keysName), keys); err != nil {
		return err
	}
	fmt.Fprintf(w, "wallet made in %s\nfor terminals: %s\nfor phonesim: %s\n", dir, filepath.Join(dir, publicName), filepath.Join(dir, phonesName))
	return nil
}

// populate opens the accounts, issues a card for each and enrols the terminal.
func populate(ctx context.Context, l *ledger.Ledger, issuer *backend.Issuer, dir string, e *enrolment, now time.Time) error {
	for n, d := range demonstration {
		if err := backend.OpenPayer(ctx, l, d.id, d.owner, e.currency, d.balance, now); err != nil {
			return err
		}
		p, err := issuer.IssueCard(ctx, l, backend.Card{Account: d.id, Kind: backend.WalletBalance, Label: "TapKeeper Wallet",
			Digits: [2]byte{0x10, byte(n + 1)}, Allowance: &backend.DefaultAllowance}, now, rand.Reader)
		if err != nil {
			return err
		}
		if err := phone.SaveFile(filepath.Join(dir, phonesName, d.id+".json"), phone.File{Cards: []phone.Profile{p}}); err != nil {
			return err
		}
		if err := l.Update(ctx, func(tx *ledger.Tx) error { return tx.SetBlocked(d.id, d.blocked) }); err != nil {
			return err
		}
	}
	if e.key == "" {
		return nil
	}
	return e.enrol(ctx, l)
}

func writePublic(dir string, keys *backend.Keys, now time.Time) error {
	files, err := keys.PublicFiles(now)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}
