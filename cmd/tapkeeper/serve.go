package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tapkeeper/lane"
	"tapkeeper/queue/vault"
	"tapkeeper/reader"
	"tapkeeper/till"
)

func newServe(*shared) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "serve", Short: "Run the daemon",
		Long: `Run the daemon until it is stopped. It logs to standard error: JSON, or lines for
eyes on a terminal. TAPKEEPER_LOG=debug tells more.

A reader that is not there and a wallet that cannot be reached do not end it:
tapkeeper status says so. Exit status 3 is a refused configuration, 75 another
daemon on the same data folder or socket.`,
		Example: "  tapkeeper serve --config /etc/tapkeeper/tapkeeper.toml",
		RunE: func(c *cobra.Command, _ []string) error {
			for _, name := range []string{"socket", "json"} {
				if c.Flags().Changed(name) {
					return usage(fmt.Errorf("serve does not take --%s; till.socket is in the configuration", name))
				}
			}
			if err := vault.Seclude(); err != nil { // before the first key is read
				return err
			}
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			log, err := newLog(c.ErrOrStderr())
			if err != nil {
				return err
			}
			return serve(c.Context(), cfg, log)
		},
	}
	c.Flags().StringVar(&path, "config", "/etc/tapkeeper/tapkeeper.toml", "the configuration file")
	return c
}

// serve runs a lane and the till's API around it until ctx ends.
func serve(ctx context.Context, cfg config, log zerolog.Logger) (err error) {
	l, err := lane.Open(cfg.Config, version, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	listener, err := till.Listen(cfg.Till.Socket)
	if err != nil {
		return &lane.PartError{Part: "till", Err: err}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	answering := make(chan error, 1)
	handler := till.Handler(version, l.Terminal(), l.Terminal(), office{l})
	go func() {
		answering <- till.Serve(ctx, listener, handler)
		stop(nil)
	}()
	var beside sync.WaitGroup
	beside.Go(func() { watchdog(ctx) })
	beside.Go(func() { tellReader(ctx, log, l.Reader, l.ReaderTrouble) })
	runErr := l.Run(ctx, func() {
		log.Info().Str("version", version).Str("merchant", cfg.Merchant).Str("terminal", cfg.Terminal).
			Str("reader", cfg.Reader.Kind).Str("socket", cfg.Till.Socket).Msg("ready")
		notify(daemon.SdNotifyReady)
	})
	notify(daemon.SdNotifyStopping)
	stop(nil)
	tillErr := <-answering
	beside.Wait()
	if runErr != nil && !errors.Is(runErr, context.Canceled) { // canceled: stopped while it resolved
		return &failure{exitUnexpected, runErr, "the journal on the disk is whole; the next start resolves what was in flight"}
	}
	log.Info().Msg("stopped")
	return tillErr
}

// readerLook is how often the reader is looked at for the log: a reader is
// plugged by a person, and looking is cheap.
const readerLook = 250 * time.Millisecond

// tellReader tells the log when phones can no longer be tapped, and when they
// can again. A missing reader is waited for: it may be plugged in at any time.
func tellReader(ctx context.Context, log zerolog.Logger, look func() (string, reader.State), why func() string) {
	told := reader.Starting
	for {
		name, now := look()
		switch {
		case now == told || now == reader.Starting || now.Usable() && told.Usable():
		case now.Usable():
			log.Info().Str("reader", name).Msg("reader is ready")
			told = now
		case now != reader.Closed:
			log.Warn().Str("reader", name).Str("text", why()).Msg("reader cannot be used; payments are refused until it can")
			told = now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(readerLook):
		}
	}
}

// newLog writes JSON, or something for eyes on a terminal.
func newLog(w io.Writer) (zerolog.Logger, error) {
	level := zerolog.InfoLevel
	if name := os.Getenv("TAPKEEPER_LOG"); name != "" {
		var err error
		if level, err = zerolog.ParseLevel(name); err != nil {
			return zerolog.Logger{}, &failure{exitUsage, fmt.Errorf("TAPKEEPER_LOG: %q is no level", name), "use debug, info, warn or error"}
		}
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

// notify tells systemd, when it is there.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// watchdog tells systemd that the process lives, at half the interval it wants.
func watchdog(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			notify(daemon.SdNotifyWatchdog)
		case <-ctx.Done():
			return
		}
	}
}
