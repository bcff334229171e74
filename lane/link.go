package lane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"tapkeeper/queue"
	"tapkeeper/terminal"
	"tapkeeper/uplink"
	"tapkeeper/uplink/wire"
)

// handlers is how many receipts may be on their way into the journal at a time:
// enough that one sync serves many of them when the outbox drains.
const handlers = 32

// SyncNow connects and sends at once what waits for another try. It waits for nothing.
func (l *Lane) SyncNow() { l.link.SyncNow() }

// wallet lets a terminal ask over a link.
type wallet struct {
	link     *uplink.Link
	handling *handling
}

var _ terminal.Wallet = wallet{}

func (w wallet) Ask(ctx context.Context, kind wire.Kind, id terminal.ID, message []byte) (*wire.Message, error) {
	return w.link.Ask(ctx, kind, id, message)
}

func (w wallet) Link() (up, connected bool) {
	if _, stuck := w.handling.stuck(time.Now()); stuck {
		return false, false // its answers do not get through
	}
	s := w.link.Status()
	return s.Up, s.Connected
}

func (w wallet) MissedDeadline() { w.link.MissedDeadline() }

// outbox lets a link forward what a queue holds.
type outbox struct{ store *queue.Store }

var _ uplink.Outbox = outbox{}

func (o outbox) Changed() <-chan struct{} { return o.store.Changed() }

func (o outbox) Sent(ids []wire.ID) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	o.store.Sent(names...)
}

func (o outbox) Waiting(limit int, known func(wire.ID) bool) ([]uplink.Entry, error) {
	stored, err := o.store.WaitingBut(limit, func(name string) bool {
		id, err := wire.ParseID(name)
		return err == nil && known(id)
	})
	if err != nil {
		return nil, err
	}
	entries := make([]uplink.Entry, 0, len(stored))
	for _, s := range stored {
		id, err := wire.ParseID(s.ID)
		if err != nil {
			return nil, fmt.Errorf("outbox entry %d: %w", s.Seq, err)
		}
		entries = append(entries, uplink.Entry{ID: id, Group: s.Group, Kind: wire.Kind(s.Kind), Body: s.Body})
	}
	return entries, nil
}

// credentials reads the password at each connection, so that it can be changed
// without a restart.
func credentials(c WalletConfig) func() (string, string) {
	if c.Username == "" {
		return nil
	}
	return func() (string, string) {
		raw, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return c.Username, "" // the broker's refusal shows in the status
		}
		return c.Username, strings.TrimRight(string(raw), "\r\n")
	}
}

// tlsFiles are for mqtts; without any the system's roots are trusted and no
// certificate is shown. What is wrong at the start is said here; later the link
// reads them again, and says it in its status.
func tlsFiles(c WalletConfig) (uplink.Files, error) {
	files := uplink.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile}
	if c.CAFile != "" {
		raw, err := readKeyFile("wallet.ca_file", c.CAFile)
		if err != nil {
			return files, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(raw) {
			return files, &KeyError{"wallet.ca_file", c.CAFile, "no certificate in PEM form"}
		}
	}
	if c.CertFile != "" {
		if _, err := readSecret("wallet.key_file", c.KeyFile); err != nil {
			return files, err
		}
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			return files, &KeyError{"wallet.cert_file", c.CertFile, "certificate and key do not fit: " + err.Error()}
		}
	}
	return files, nil
}
