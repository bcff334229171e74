package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

const (
	// workersMax bounds the messages in hand: what waits together shares a commit,
	// and a commit takes no more than this.
	workersMax = 128
	// workersDefault is above what mosquitto sends without acknowledgement, 20.
	workersDefault = 32
	// groupDefault is the name that several processes share without --share.
	groupDefault = "walletd"
	shareMax     = 32
)

// serving are the flags of serve.
type serving struct {
	broker, clientID string
	share            string
	ca, cert, key    string
	workers          int
}

func newServe(s *shared) *cobra.Command {
	v := &serving{}
	c := &cobra.Command{
		Use: "serve", Short: "Answer terminals over a broker",
		RunE: func(c *cobra.Command, _ []string) error {
			return v.serve(c.Context(), s, zerolog.New(c.ErrOrStderr()).With().Timestamp().Logger())
		},
	}
	f := c.Flags()
	f.StringVar(&v.broker, "broker", "mqtt://127.0.0.1:1883", "mqtt://HOST:PORT or mqtts://HOST:PORT, or for JetStream nats://HOST:PORT or tls://HOST:PORT; several nodes of a cluster with commas between them")
	f.StringVar(&v.share, "share", "", "the name under which several processes share the messages: of a shared subscription, or of JetStream's consumer (there "+groupDefault+" by default)")
	f.StringVar(&v.clientID, "client-id", "", "the MQTT client id; every process needs its own (default: walletd- and chance)")
	f.IntVar(&v.workers, "workers", workersDefault, "how many messages are handled at a time")
	f.StringVar(&v.ca, "tls-ca", "", "PEM file of the authority that signed the broker's certificate (default: the system's)")
	f.StringVar(&v.cert, "tls-cert", "", "PEM file of this wallet's own certificate")
	f.StringVar(&v.key, "tls-key", "", "PEM file of its key")
	return c
}

// transport carries messages between a broker and the wallet until ctx ends.
type transport interface{ run(ctx context.Context) }

// serve answers until ctx ends. A broker that is away is waited for.
func (v *serving) serve(ctx context.Context, s *shared, log zerolog.Logger) (err error) {
	open, err := v.transport(log)
	if err != nil {
		return err
	}
	keys, err := loadKeys(s.dir)
	if err != nil {
		return err
	}
	verifier, err := keys.Issuer.Verifier()
	if err != nil {
		return err
	}
	return withLedger(ctx, s, func(books *ledger.Ledger) error {
		if _, file := s.books(); file { // a fleet's books are others' too, and take minutes: walletd check
			if err := sound(ctx, io.Discard, books); err != nil {
				return err
			}
		}
		wallet, err := backend.NewService(backend.Config{Ledger: books, Verifier: verifier, Signing: keys.Signing, Decryption: keys.Decryption})
		if err != nil {
			return err
		}
		open(wallet).run(ctx)
		log.Info().Msg("stopped")
		return nil
	})
}

// transport reads the flags.
func (v *serving) transport(log zerolog.Logger) (func(handler) transport, error) {
	if v.workers < 1 || v.workers > workersMax {
		return nil, usage(fmt.Errorf("--workers %d: want 1 to %d", v.workers, workersMax))
	}
	if strings.ContainsAny(v.share, "/+#.*> ") || len(v.share) > shareMax {
		return nil, usage(fmt.Errorf("--share %q: want up to %d letters, digits and -", v.share, shareMax))
	}
	ready := func() {
		log.Info().Str("version", version).Str("broker", v.broker).Int("workers", v.workers).Msg("ready")
	}
	if isNATS(v.broker) {
		p, err := v.pull(log, ready)
		return func(h handler) transport { p.wallet = h; return p }, err
	}
	l, err := v.link(log, ready)
	return func(h handler) transport { l.wallet = h; return l }, err
}

func (v *serving) pull(log zerolog.Logger, ready func()) (*pull, error) {
	secure, err := parseNATS(v.broker)
	if err != nil {
		return nil, usage(err)
	}
	p := &pull{servers: v.broker, group: cmp.Or(v.share, groupDefault), workers: v.workers, log: log, ready: ready}
	if secure {
		p.tls = &tlsFiles{}
	}
	return p, v.certificates(p.tls)
}

func (v *serving) link(log zerolog.Logger, ready func()) (*link, error) {
	b, err := parseBroker(v.broker)
	if err != nil {
		return nil, usage(err)
	}
	if err := v.certificates(b.tls); err != nil {
		return nil, err
	}
	filter := wire.UpFilter
	if v.share != "" {
		filter = "$share/" + v.share + "/" + filter
	}
	return &link{broker: b, clientID: cmp.Or(v.clientID, "walletd-"+rand.Text()[:8]), filter: filter, workers: v.workers, log: log, ready: ready}, nil
}

// certificates names the files of TLS and reads them once, so that what is wrong
// with them is said at the start.
func (v *serving) certificates(files *tlsFiles) error {
	err := error(nil)
	switch {
	case files != nil:
		files.ca, files.cert, files.key = v.ca, v.cert, v.key
		_, err = files.load()
	case v.ca != "" || v.cert != "" || v.key != "":
		err = errors.New("certificates without TLS")
	}
	if err != nil {
		return &failure{exitConfig, err, "name PEM files with --tls-ca, --tls-cert and --tls-key, and an mqtts:// or tls:// broker"}
	}
	return nil
}
