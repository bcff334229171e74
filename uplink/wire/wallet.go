package wire

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// WalletKeys are the wallet's keys, and where it finds those of terminals.
type WalletKeys struct {
	Signing    SigningKey
	Decryption DecryptionKey
	// Terminal gives the public key with this kid of a terminal, or nil if it
	// has none such. An error means that it could not be looked up.
	Terminal func(a Address, kid string) (ed25519.PublicKey, error)
}

// Wallet is the wallet's side of the contract. It is safe for concurrent use if
// the lookup is.
type Wallet struct {
	sign     signFunc
	decrypt  DecryptionKey
	terminal func(Address, string) (ed25519.PublicKey, error)
}

// NewWallet checks the keys.
func NewWallet(k WalletKeys) (*Wallet, error) {
	sign, err := newSigner(k.Signing, jwsType)
	if err != nil {
		return nil, err
	}
	if k.Decryption.private == nil {
		return nil, errors.New("decryption key: missing")
	}
	if k.Terminal == nil {
		return nil, errors.New("lookup of terminals: missing")
	}
	return &Wallet{sign: sign, decrypt: k.Decryption, terminal: k.Terminal}, nil
}

// Open verifies a message that arrived on topic (out of a batch: see [Split]) and
// reads it, its record included. A [DataError] is genuine but not acceptable: it can be refused.
func (w *Wallet) Open(topic string, raw []byte) (*Message, error) {
	address, segment, err := parseTopic(topic, "up")
	if err != nil {
		return nil, err
	}
	payload, err := verify(raw, jwsType, func(kid string) (ed25519.PublicKey, error) { return w.terminal(address, kid) })
	if err != nil {
		return nil, err
	}
	payload, record := layAside(payload)
	e, m, err := decodeEnvelope(payload)
	if err != nil {
		return nil, err
	}
	if e.Source != address.String() || e.Audience != "" {
		return nil, fmt.Errorf("not from the terminal of the topic: %w", ErrForeign)
	}
	if err := m.Kind.belongs(segment); err != nil {
		return nil, err
	}
	m.Terminal, m.Raw = address, raw
	openRecord := func(payment ID, sealed string) (Record, error) {
		if record != "" {
			sealed = record
		}
		return openRecord(w.decrypt, address, payment, sealed)
	}
	if err := m.open(e, upDecoder(m.Kind), openRecord); err != nil {
		return nil, err
	}
	return m, nil
}

// Seal makes the signed message of a Down struct for a terminal. It goes to
// DownTopic of its kind. Keep the bytes: the same question gets the same answer.
func (w *Wallet) Seal(to Address, h Header, d Data) ([]byte, error) {
	if err := to.Validate(); err != nil {
		return nil, err
	}
	if downDecoder(d.Kind()) == nil {
		return nil, fmt.Errorf("seal %s: not a wallet's message", d.Kind())
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind(), err)
	}
	payload, err := encode(walletSource, to.String(), h, d, "")
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind(), err)
	}
	return w.sign(payload)
}
