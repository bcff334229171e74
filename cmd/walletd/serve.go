package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

// workersMax bounds the workers: the ledger has one writer, more only wait for it.
const workersMax = 64

// serving are the flags of serve.
type serving struct {
	broker, clientID string
	ca, cert, key    string
	workers          int
}

func newServe(s *shared) *cobra.Command {
	v := &serving{}
	c := &cobra.Command{
		Use: "serve", Short: "Answer terminals over a broker",
		RunE: func(c *cobra.Command, _ []string) error {
			return v.serve(c.Context(), s.dir, zerolog.New(c.ErrOrStderr()).With().Timestamp().Logger())
		},
	}
	f := c.Flags()
	f.StringVar(&v.broker, "broker", "mqtt://127.0.0.1:1883", "mqtt://HOST:PORT or mqtts://HOST:PORT; several nodes of a cluster with commas between them")
	f.StringVar(&v.clientID, "client-id", "", "the MQTT client id; every process needs its own (default: walletd- and chance)")
	f.IntVar(&v.workers, "workers", 4, "how many messages are handled at a time")
	f.StringVar(&v.ca, "tls-ca", "", "PEM file of the authority that signed the broker's certificate (default: the system's)")
	f.StringVar(&v.cert, "tls-cert", "", "PEM file of this wallet's own certificate")
	f.StringVar(&v.key, "tls-key", "", "PEM file of its key")
	return c
}

// serve answers until ctx ends. A broker that is away is waited for.
func (v *serving) serve(ctx context.Context, dir string, log zerolog.Logger) (err error) {
	l, err := v.link(log)
	if err != nil {
		return err
	}
	keys, err := loadKeys(dir)
	if err != nil {
		return err
	}
	verifier, err := keys.Issuer.Verifier()
	if err != nil {
		return err
	}
	return withLedger(ctx, dir, func(books *ledger.Ledger) error {
		if err := sound(ctx, io.Discard, books); err != nil {
			return err
		}
		l.wallet, err = backend.NewService(backend.Config{Ledger: books, Verifier: verifier, Signing: keys.Signing, Decryption: keys.Decryption})
		if err != nil {
			return err
		}
		l.run(ctx)
		log.Info().Msg("stopped")
		return nil
	})
}

// link reads the flags.
func (v *serving) link(log zerolog.Logger) (*link, error) {
	b, err := parseBroker(v.broker)
	if err != nil {
		return nil, usage(err)
	}
	if v.workers < 1 || v.workers > workersMax {
		return nil, usage(fmt.Errorf("--workers %d: want 1 to %d", v.workers, workersMax))
	}
	if err := v.certificates(b); err != nil {
		return nil, &failure{exitConfig, err, "name PEM files with --tls-ca, --tls-cert and --tls-key, and an mqtts:// broker"}
	}
	if v.clientID == "" {
		v.clientID = "walletd-" + rand.Text()[:8]
	}
	return &link{broker: b, clientID: v.clientID, workers: v.workers, log: log,
		ready: func() {
			log.Info().Str("version", version).Stringer("broker", b).Int("workers", v.workers).Msg("ready")
		}}, nil
}

// certificates names the files of TLS and reads them once, so that what is wrong
// with them is said at the start.
func (v *serving) certificates(b broker) error {
	if b.tls == nil {
		if v.ca != "" || v.cert != "" || v.key != "" {
			return errors.New("certificates without TLS")
		}
		return nil
	}
	b.tls.ca, b.tls.cert, b.tls.key = v.ca, v.cert, v.key
	_, err := b.tls.load()
	return err
}
