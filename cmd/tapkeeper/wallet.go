package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/uplink/conform"
)

func newWallet(s *shared) *cobra.Command {
	c := &cobra.Command{
		Use: "wallet", Short: "Tools for the authors of a wallet's backend",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConform(s))
	return c
}

// conformance are the flags of wallet conform.
type conformance struct {
	broker, kit, ca, user, passwordFile string
	format, output, restart             string
	cases                               []int
	core, list                          bool
	patience                            time.Duration
}

func newConform(s *shared) *cobra.Command {
	f := &conformance{}
	c := &cobra.Command{
		Use: "conform --broker URL --kit DIR", Args: positional(cobra.NoArgs), Short: "Play terminals against a wallet's backend, and tell what it gets wrong",
		Long: `Play three terminals against any wallet's backend, case by case, and tell which rules
of docs/wallet-link.md it keeps. The kit holds what the backend has prepared for it:
enrolled terminals and test cards; walletd conform-kit writes one for walletd.

The cases pay, reverse and refund with the kit's cards. Never use live money.

Exit status 0: the backend conforms. 1: a case has failed. 2: the command is wrong.
3: the kit or a file cannot be used. 69: the broker cannot be reached, or nobody
answers there.`,
		Example: `  walletd conform-kit --dir wallet --out kit
  tapkeeper wallet conform --broker mqtt://127.0.0.1:1883 --kit kit
  tapkeeper wallet conform --broker mqtts://broker:8883 --tls-ca ca.pem --kit kit --format junit --output report.xml`,
		RunE: func(c *cobra.Command, _ []string) error {
			if s.json {
				f.format = "json"
			}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.broker, "broker", "", "mqtt://HOST:PORT or mqtts://HOST:PORT")
	flags.StringVar(&f.kit, "kit", "", "the folder that the backend has prepared")
	flags.StringVar(&f.ca, "tls-ca", "", "PEM file of the authority that signed the broker's certificate (default: the system's)")
	flags.StringVar(&f.user, "user", "", "user name at the broker")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the user's password")
	flags.StringVar(&f.format, "format", "text", "of the report: text, json or junit")
	flags.StringVar(&f.output, "output", "", "file for the report (default: standard output)")
	flags.StringVar(&f.restart, "restart", "", "shell command that kills and restarts the backend; without it four cases are skipped")
	flags.IntSliceVar(&f.cases, "case", nil, "only these cases, by number")
	flags.BoolVar(&f.core, "core", false, "leave out the cases that need a judge of evidence records")
	flags.BoolVar(&f.list, "list", false, "list the cases and their rules, and play none")
	flags.DurationVar(&f.patience, "patience", 5*time.Second, "how long an answer may take")
	return c
}

func (f *conformance) run(ctx context.Context, stdout, stderr io.Writer) error {
	if f.list {
		var rows [][]any
		for _, c := range conform.Cases() {
			rows = append(rows, []any{c.Number, c.Name, c.Rule})
		}
		return table(stdout, rows...)
	}
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if f.output != "" || f.format != "text" { // the report comes at the end: say what happens meanwhile
		cfg.Progress = func(r conform.Result) {
			if r.Outcome == conform.Failed {
				fmt.Fprintf(stderr, "%d %s: %s\n", r.Number, r.Name, r.Why)
			}
		}
	}
	report, err := conform.Run(ctx, cfg)
	if errors.Is(err, conform.ErrSilent) {
		return &failure{exitUnavailable, err, "is the backend on this broker, and is the kit one of its own?"}
	}
	if err != nil {
		return &failure{exitUnavailable, err, "look at the broker's address, and whether it lets the kit's terminals in"}
	}
	if err := f.write(report, stdout); err != nil {
		return err
	}
	if report.Failed > 0 {
		return &failure{exitUnexpected, fmt.Errorf("%d of %d cases failed", report.Failed, len(report.Cases)),
			"each names its rule in docs/wallet-link.md; play one alone with --case NUMBER"}
	}
	return nil
}

func (f *conformance) write(report *conform.Report, stdout io.Writer) (err error) {
	if f.output == "" {
		return report.Write(stdout, f.format)
	}
	file, err := os.Create(f.output)
	if err != nil {
		return &failure{exitConfig, err, "name a file that can be written with --output"}
	}
	return errors.Join(report.Write(file, f.format), file.Close())
}

// config reads the flags and the files that they name.
func (f *conformance) config() (conform.Config, error) {
	cfg := conform.Config{Broker: f.broker, User: f.user, Only: f.cases, Core: f.core, Patience: f.patience}
	scheme, host, _ := strings.Cut(f.broker, "://")
	switch {
	case f.kit == "":
		return cfg, usage(errors.New("wallet conform wants --kit DIR"))
	case scheme != "mqtt" && scheme != "mqtts" || host == "":
		return cfg, usage(fmt.Errorf("--broker %q: want mqtt://HOST:PORT or mqtts://HOST:PORT", f.broker))
	case !slices.Contains(conform.Formats, f.format):
		return cfg, usage(fmt.Errorf("--format %q: want one of %s", f.format, strings.Join(conform.Formats, ", ")))
	case f.patience <= 0:
		return cfg, usage(fmt.Errorf("--patience %v: want more than 0", f.patience))
	}
	known := conform.Cases()
	for _, n := range f.cases {
		if !slices.ContainsFunc(known, func(c conform.Result) bool { return c.Number == n }) {
			return cfg, usage(fmt.Errorf("--case %d: there is none; see --list", n))
		}
	}
	kit, err := conform.LoadKit(f.kit)
	if err != nil {
		return cfg, &failure{exitConfig, err, `docs/wallet-link.md, "Conformance", tells what a kit is`}
	}
	cfg.Kit = kit
	if f.passwordFile != "" {
		password, err := readFile(f.passwordFile, maxPEM)
		if err != nil {
			return cfg, &failure{exitConfig, err, "name a file with --password-file"}
		}
		cfg.Password = strings.TrimRight(string(password), "\r\n")
	}
	if f.ca != "" {
		pem, err := readFile(f.ca, maxPEM)
		if err != nil {
			return cfg, &failure{exitConfig, err, "name a PEM file with --tls-ca"}
		}
		cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return cfg, &failure{exitConfig, fmt.Errorf("%s: no certificate in it", f.ca), "name a PEM file with --tls-ca"}
		}
	}
	if f.restart != "" {
		cfg.Restart = func(ctx context.Context) error {
			out, err := exec.CommandContext(ctx, "/bin/sh", "-c", f.restart).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w: %s", f.restart, err, oneLine(string(out)))
			}
			return nil
		}
	}
	return cfg, nil
}
