package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

const (
	// uploadPath is where phones send their logs (docs/wallet-link.md, "The phone's app").
	uploadPath = "/tapkeeper/app/v1/uploads"
	// appTime bounds a request of a phone and its answer.
	appTime = 30 * time.Second
	// appGoodbye bounds the end: what is being answered is answered, with the half
	// second that the library gives a client whose upload was too long.
	appGoodbye = 5 * time.Second
)

func newApp(s *shared) *cobra.Command {
	c := &cobra.Command{Use: "app", Short: "The phone's side: take tap logs, release allowance, renew grants",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(newAppServe(s), newAppSync(s), newAppRelease(s))
	return c
}

// withApp runs fn with what answers phones.
func withApp(ctx context.Context, s *shared, fn func(*backend.App) error) error {
	keys, err := loadKeys(s.dir)
	if err != nil {
		return err
	}
	return withLedger(ctx, s, func(l *ledger.Ledger) error {
		return fn(backend.NewApp(l, keys.Issuer, backend.DefaultAllowance, nil))
	})
}

func newAppServe(s *shared) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use: "serve", Short: "Answer phones over HTTP; a proxy in front of it does the TLS",
		RunE: func(c *cobra.Command, _ []string) error {
			return withApp(c.Context(), s, func(a *backend.App) error {
				listener, err := net.Listen("tcp", listen)
				if err != nil {
					return &failure{exitUnavailable, err, "choose another address with --listen"}
				}
				fmt.Fprintf(c.OutOrStdout(), "phones: http://%s%s\n", listener.Addr(), uploadPath)
				return serveApp(c.Context(), listener, a)
			})
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8480", "address and port")
	return c
}

// serveApp answers until ctx ends.
func serveApp(ctx context.Context, l net.Listener, a *backend.App) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+uploadPath, func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, backend.MaxUpload))
		if err != nil {
			http.Error(w, "the upload is too long, or was cut", http.StatusBadRequest)
			return
		}
		reply, err := a.Handle(r.Context(), raw)
		switch {
		case errors.Is(err, backend.ErrUpload):
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case err != nil:
			http.Error(w, "the wallet has trouble; try again later", http.StatusServiceUnavailable) // its reason is no phone's business
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(reply) // a phone that is gone asks again
		}
	})
	server := &http.Server{Handler: mux, ReadTimeout: appTime, WriteTimeout: appTime, IdleTimeout: appTime, MaxHeaderBytes: 16 << 10}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		ending, cancel := context.WithTimeout(context.Background(), appGoodbye)
		defer cancel()
		if server.Shutdown(ending) != nil {
			_ = server.Close()
		}
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	<-ended // Serve does not wait for those who are being answered
	return nil
}

func newAppSync(s *shared) *cobra.Command {
	var file string
	var renew bool
	c := &cobra.Command{
		Use: "sync --phone FILE", Short: "Play a phone's app: upload its log, take the reply",
		RunE: func(c *cobra.Command, _ []string) error {
			return withApp(c.Context(), s, func(a *backend.App) error { return syncPhone(c.Context(), c.OutOrStdout(), a, file, renew) })
		},
	}
	c.Flags().StringVar(&file, "phone", "", "the phone's wallet file")
	c.Flags().BoolVar(&renew, "renew", true, "ask for the next allowance")
	return c
}

// syncPhone goes through the cards of a wallet file. phonesim must not run on it at the same time.
func syncPhone(ctx context.Context, w io.Writer, a *backend.App, path string, renew bool) error {
	hint := "name a wallet file with --phone; no phonesim may run on it"
	f, err := phone.LoadFile(path)
	if err != nil {
		return &failure{exitConfig, err, hint}
	}
	p, err := phone.Open(path, phone.Options{})
	if err != nil {
		return &failure{exitConfig, err, hint}
	}
	for _, card := range f.Cards {
		upload, err := p.Upload(card.ADF, renew && len(card.Grant) > 0)
		if err != nil {
			return err
		}
		reply, err := a.Handle(ctx, upload)
		if errors.Is(err, backend.ErrUpload) {
			return &failure{exitUnexpected, err, "the phone's state is older than what it told before, or of another wallet"}
		}
		if err != nil {
			return err
		}
		if err := p.Apply(card.ADF, upload, reply); err != nil {
			return err
		}
		fmt.Fprintf(w, "%X %s\n", []byte(card.ADF), reply)
	}
	return nil
}

func newAppRelease(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "release", Short: "Give back the allowance that no terminal can claim any more, of all phones",
		RunE: func(c *cobra.Command, _ []string) error {
			return withApp(c.Context(), s, func(a *backend.App) error {
				taps, err := a.Release(c.Context())
				if err == nil {
					_, err = fmt.Fprintf(c.OutOrStdout(), "%d taps released\n", taps)
				}
				return err
			})
		},
	}
}
