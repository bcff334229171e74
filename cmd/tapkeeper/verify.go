package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tapkeeper/emv/evidence"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/terminal/dispute"
)

func newVerify(s *shared) *cobra.Command {
	var ca, walletKey, terminalKey string
	c := &cobra.Command{
		Use: "verify EVIDENCE.json", Short: "Check an evidence file on any machine, without a daemon",
		Long: `Check an evidence file with nothing but public keys. Each key opens its questions;
without it they are "not checked", and the table says so.

  --ca            what the phone has signed: certificates, data, amount, decision
  --wallet-key    what the wallet has signed: the receipts of this payment
  --terminal-key  that nothing was changed or left out: the journal's chain

Exit status 0: every check that was asked for has passed. 1: one has not. 2: the
command or a key cannot be read.`,
		Example: "  tapkeeper verify evidence.json --ca capk/ --wallet-key wallet.pem --terminal-key terminal.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			keys, err := readKeys(ca, walletKey, terminalKey)
			if err != nil {
				return &failure{exitUsage, err, "tapkeeper verify --help says which keys it takes; docs/evidence.md, where they come from"}
			}
			raw, err := readFile(args[0], dispute.MaxFile)
			if err != nil {
				return &failure{exitUsage, err, "name a file that tapkeeper evidence has written"}
			}
			report := dispute.Verify(raw, keys)
			if s.json {
				err = printJSON(c.OutOrStdout(), report)
			} else {
				err = printVerification(c.OutOrStdout(), report)
			}
			if err == nil && !report.OK {
				err = &failure{exitUnexpected, errors.New("the evidence does not hold"), "each check that failed says why; docs/evidence.md explains it"}
			}
			return err
		},
	}
	c.Flags().StringVar(&ca, "ca", "", "the scheme's CA keys: a key file, or a folder of them")
	c.Flags().StringVar(&walletKey, "wallet-key", "", "the wallet's public signing key, PEM")
	c.Flags().StringVar(&terminalKey, "terminal-key", "", "the terminal's public signing key, PEM")
	return c
}

func printVerification(w io.Writer, r *dispute.Report) error {
	if r.Payment != "" {
		fmt.Fprintf(w, "payment %s\n", r.Payment)
	}
	rows := [][]any{{"check", "result", "why"}}
	unchecked := 0
	for _, c := range r.Checks {
		rows = append(rows, []any{c.Name, c.Result, c.Why})
		if c.Result == evidence.NotChecked {
			unchecked++
		}
	}
	if err := table(w, rows...); err != nil {
		return err
	}
	if unchecked > 0 {
		fmt.Fprintf(w, "%d not checked: nothing is said about these\n", unchecked)
	}
	if !r.OK {
		fmt.Fprintln(w, "DOES NOT HOLD / 证据不成立")
		return nil
	}
	fmt.Fprintln(w, "HOLDS as far as it was checked / 在已检查的范围内成立")
	for _, s := range r.Says {
		fmt.Fprintf(w, "  %s\n  %s\n", s.English, s.Chinese)
	}
	return nil
}

// readKeys reads the keys that were named.
func readKeys(ca, wallet, terminal string) (k dispute.Keys, err error) {
	if ca != "" {
		dir, name := filepath.Split(ca)
		if info, err := os.Stat(ca); err == nil && info.IsDir() {
			dir, name = ca, "."
		}
		found, err := bundle.ReadCAKeys(os.DirFS(filepath.Clean(dir)), name)
		if err != nil {
			return k, fmt.Errorf("--ca: %w", err)
		}
		k.CA = []evidence.CAKey{}
		for _, key := range found {
			k.CA = append(k.CA, evidence.CAKey{RID: key.RID, Index: key.Index, Public: key.Key})
		}
	}
	if k.Wallet, err = readPublicKey("--wallet-key", wallet); err != nil {
		return k, err
	}
	k.Terminal, err = readPublicKey("--terminal-key", terminal)
	return k, err
}

// maxPEM is far above any key.
const maxPEM = 64 << 10

func readPublicKey(flag, path string) (ed25519.PublicKey, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := readFile(path, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s: %s: no PEM block", flag, path)
	}
	if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		if public, ok := key.(ed25519.PublicKey); ok {
			return public, nil
		}
	}
	return nil, fmt.Errorf("%s: %s: want an Ed25519 public key in PKIX form", flag, path)
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s: longer than %d bytes", path, limit)
	}
	return raw, err
}
