package terminaltest

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"tapkeeper/terminal"
	"tapkeeper/uplink/wire"
)

// Wallet is a terminal.Wallet whose answers a test writes. It opens what it is
// asked with the wallet's own keys, so a message that a real wallet would
// refuse fails here too.
type Wallet struct {
	Keys *wire.Terminal // the terminal's side
	// Answer is called for each question; nil data means that no answer comes.
	// What it returns goes to Deliver, as a real link hands every answer to
	// terminal.Receive, and then to whoever asked.
	Answer  func(m *wire.Message) wire.Data
	Deliver func(ctx context.Context, m *wire.Message) error

	side    *wire.Wallet
	address wire.Address

	mu    sync.Mutex
	down  bool
	heard bool
	asked []Question
}

// Question is a message that the wallet was sent.
type Question struct {
	At      time.Time
	Message *wire.Message
}

var _ terminal.Wallet = (*Wallet)(nil)

// errDown is what a link without a connection says.
var errDown = errors.New("link is down")

// NewWallet makes both sides' keys. The wallet is up and was heard.
func NewWallet() (*Wallet, error) {
	_, terminalKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	walletPublic, walletKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	agree, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	w := &Wallet{address: wire.Address{Merchant: "shop", Terminal: "till-1"}, heard: true}
	signing, err := wire.NewSigningKey(terminalKey)
	if err != nil {
		return nil, err
	}
	w.Keys, err = wire.NewTerminal(wire.TerminalKeys{
		Address: w.address, Signing: signing,
		WalletSigning: []ed25519.PublicKey{walletPublic}, WalletEncryption: &agree.PublicKey,
	})
	if err != nil {
		return nil, err
	}
	return w, w.openSide(walletKey, agree, signing.Public())
}

// Ask implements terminal.Asker.
func (w *Wallet) Ask(ctx context.Context, kind wire.Kind, _ terminal.ID, message []byte) (*wire.Message, error) {
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down {
		return nil, errDown
	}
	m, err := w.side.Open(w.address.UpTopic(kind), message)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.asked = append(w.asked, Question{time.Now(), m})
	w.mu.Unlock()
	var data wire.Data
	if w.Answer != nil {
		data = w.Answer(m)
	}
	if data == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer, err := w.Seal(data)
	if err != nil {
		return nil, err
	}
	if w.Deliver != nil {
		if err := w.Deliver(ctx, answer); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// Seal makes the wallet's signed message, as the terminal opens it.
func (w *Wallet) Seal(data wire.Data) (*wire.Message, error) {
	var id wire.ID
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	raw, err := w.side.Seal(w.address, wire.Header{ID: id, Time: time.Now()}, data)
	if err != nil {
		return nil, err
	}
	return w.Keys.Open(w.address.DownTopic(data.Kind()), raw)
}

// Open reads an outbox entry as the wallet does.
func (w *Wallet) Open(e Entry) (*wire.Message, error) {
	return w.side.Open(w.address.UpTopic(wire.Kind(e.Kind)), e.Body)
}

// Link implements terminal.Wallet.
func (w *Wallet) Link() (up, connected bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.down, !w.down && w.heard
}

// MissedDeadline implements terminal.Wallet.
func (w *Wallet) MissedDeadline() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = false
}

// SetDown takes the link away, or brings it back.
func (w *Wallet) SetDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// Asked lists the questions so far.
func (w *Wallet) Asked() []Question {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Question(nil), w.asked...)
}

func (w *Wallet) openSide(signing ed25519.PrivateKey, agree *ecdsa.PrivateKey, terminal ed25519.PublicKey) error {
	key, err := wire.NewSigningKey(signing)
	if err != nil {
		return err
	}
	decryption, err := wire.NewDecryptionKey(agree)
	if err != nil {
		return err
	}
	w.side, err = wire.NewWallet(wire.WalletKeys{
		Signing: key, Decryption: decryption,
		Terminal: func(wire.Address, string) (ed25519.PublicKey, error) { return terminal, nil },
	})
	return err
}
