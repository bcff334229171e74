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

// openLedger opens the ledger of a folder that init has made.
func openLedger(ctx context.Context, dir string) (*ledger.Ledger, error) {
	path := filepath.Join(dir, ledgerName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exitConfig, err, "make the folder first: walletd init --dir " + dir}
	}
	l, err := ledger.Open(ctx, path)
	if err != nil {
		return nil, &failure{exitUnavailable, err, "look at the disk and at who owns the folder " + dir}
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

// withLedger runs fn on the folder's ledger and closes it.
func withLedger(ctx context.Context, dir string, fn func(*ledger.Ledger) error) error {
	l, err := openLedger(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(fn(l), l.Close())
}
