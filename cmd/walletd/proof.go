package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// proofMax bounds a file of a proof: a record has less than 8 KiB, an upload more.
const proofMax = backend.MaxUpload

func newProof(s *shared) *cobra.Command {
	c := &cobra.Command{Use: "proof", Short: "Double spends: list, write out, and test without a wallet",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(newProofList(s), newProofVerify())
	return c
}

func newProofList(s *shared) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "list", Short: "List the devices that were caught; with --out also write the records that prove it",
		RunE: func(c *cobra.Command, _ []string) error {
			keys, err := loadKeys(s.dir)
			if err != nil {
				return err
			}
			verifier, err := keys.Issuer.Verifier()
			if err != nil {
				return err
			}
			return withLedger(c.Context(), s, func(l *ledger.Ledger) error {
				var proofs []backend.Proof
				err := l.View(c.Context(), func(tx *ledger.Tx) (err error) { proofs, err = verifier.Proofs(tx); return err })
				if err != nil {
					return err
				}
				return writeProofs(c.OutOrStdout(), out, proofs)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "a new folder for the records; they name who paid where")
	return c
}

func writeProofs(w io.Writer, out string, proofs []backend.Proof) error {
	rows := [][]string{{"DEVICE", "RULE", "FILES"}}
	for n, p := range proofs {
		files := ""
		if out != "" {
			base := filepath.Join(out, fmt.Sprintf("%X-%d", p.Device, n+1))
			files = base + "-{1,2}.tlv"
			err := os.MkdirAll(out, 0o700)
			for i, record := range [][]byte{p.First, p.Second} {
				err = errors.Join(err, os.WriteFile(fmt.Sprintf("%s-%d.tlv", base, i+1), record, 0o600))
			}
			if err != nil {
				return &failure{exitConfig, err, "choose a folder that you may write to with --out"}
			}
		}
		rows = append(rows, []string{fmt.Sprintf("%X", p.Device), p.Rule, files})
	}
	return table(w, rows)
}

func newProofVerify() *cobra.Command {
	var ca, first, second string
	c := &cobra.Command{
		Use: "verify --ca FILE --first FILE --second FILE", Short: "Test a proof with nothing but the scheme's CA key",
		RunE: func(c *cobra.Command, _ []string) error {
			key, err := readCA(ca)
			if err != nil {
				return &failure{exitConfig, err, "the key is in the wallet's public folder, capk/test/*.toml"}
			}
			var records [2][]byte
			for i, name := range [...]string{first, second} {
				if records[i], err = readBounded(name); err != nil {
					return &failure{exitConfig, err, "name the two records that proof list --out wrote"}
				}
			}
			p, err := backend.Prove([]backend.CAKey{key}, records[0], records[1])
			if err != nil {
				return &failure{exitUnexpected, err, "without a proof a device is not to be blamed"}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "device %X has signed both: rule %s\n", p.Device, p.Rule)
			return err
		},
	}
	c.Flags().StringVar(&ca, "ca", "", "the scheme's CA key, as terminals have it")
	c.Flags().StringVar(&first, "first", "", "a record")
	c.Flags().StringVar(&second, "second", "", "the record that contradicts it")
	return c
}

// readCA reads a CA key file as backend.Keys.PublicFiles writes it.
func readCA(path string) (key backend.CAKey, err error) {
	text, err := readBounded(path)
	if err != nil {
		return key, err
	}
	var f struct {
		RID    phone.Hex `toml:"rid"`
		Index  byte      `toml:"index"`
		Public phone.Hex `toml:"public_key"`
	}
	if err := toml.Unmarshal(text, &f); err != nil || len(f.RID) != len(key.RID) || len(f.Public) != len(key.Public) {
		return key, fmt.Errorf("%s: not a CA key", path)
	}
	return backend.CAKey{RID: [5]byte(f.RID), Index: f.Index, Public: [33]byte(f.Public)}, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, proofMax))
}
