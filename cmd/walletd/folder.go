package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

// What lies in a wallet's folder.
const (
	keysName   = "keys.json"
	ledgerName = "ledger.db"
	publicName = "public" // what terminals need
	phonesName = "phones" // wallet files for phonesim
)

// ledgerVar names the ledger where the command line does not: a password belongs
// into neither, but into the file that PGPASSFILE names.
const ledgerVar = "WALLETD_LEDGER"

// books is the ledger's name, for ledger.Open: the folder's file unless another is named.
func (s *shared) books() (name string, file bool) {
	for _, named := range [...]string{s.ledger, os.Getenv(ledgerVar)} {
		if named != "" {
			return named, false
		}
	}
	return filepath.Join(s.dir, ledgerName), true
}

// openLedger opens the ledger that init has made.
func openLedger(ctx context.Context, s *shared) (*ledger.Ledger, error) {
	name, file := s.books()
	if _, err := os.Stat(name); file && errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exitConfig, err, "make the folder first: walletd init --dir " + s.dir}
	}
	l, err := ledger.Open(ctx, name)
	if err != nil && !file {
		return nil, &failure{exitUnavailable, err, "look at the database server, its log, and the name given with --ledger or " + ledgerVar}
	}
	if err != nil {
		return nil, &failure{exitUnavailable, err, "look at the disk and at who owns the folder " + s.dir}
	}
	return l, nil
}

func loadKeys(dir string) (*backend.Keys, error) {
	keys, err := backend.LoadKeys(filepath.Join(dir, keysName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &failure{exitConfig, err, "make the folder first: walletd init --dir " + dir}
	case err != nil && !errors.Is(err, fs.ErrPermission):
		return nil, &failure{exitConfig, err, "restore keys.json from its copy; cards made with other keys do not work"}
	}
	return keys, err
}

// withLedger runs fn on the ledger and closes it.
func withLedger(ctx context.Context, s *shared, fn func(*ledger.Ledger) error) error {
	l, err := openLedger(ctx, s)
	if err != nil {
		return err
	}
	return errors.Join(fn(l), l.Close())
}
