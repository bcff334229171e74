package wire

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
)

// TerminalKeys are the keys of one terminal. WalletSigning may hold two while
// the wallet changes its key.
type TerminalKeys struct {
	Address          Address
	Signing          SigningKey
	WalletSigning    []ed25519.PublicKey
	WalletEncryption *ecdsa.PublicKey
}

// Terminal is the terminal's side of the contract. It is safe for concurrent use.
type Terminal struct {
	address Address
	sign    signFunc
	attest  signFunc
	wallet  map[string]ed25519.PublicKey // by kid
	sealTo  *ecdsa.PublicKey
}

// NewTerminal checks the keys.
func NewTerminal(k TerminalKeys) (*Terminal, error) {
	if err := k.Address.Validate(); err != nil {
		return nil, err
	}
	sign, err := newSigner(k.Signing, jwsType)
	if err != nil {
		return nil, err
	}
	attest, err := newSigner(k.Signing, evidenceType)
	if err != nil {
		return nil, err
	}
	if len(k.WalletSigning) == 0 {
		return nil, errors.New("wallet's signing key: missing")
	}
	wallet := make(map[string]ed25519.PublicKey, len(k.WalletSigning))
	for _, w := range k.WalletSigning {
		if len(w) != ed25519.PublicKeySize {
			return nil, errors.New("wallet's signing key: not an Ed25519 public key")
		}
		wallet[KeyID(w)] = w
	}
	if KeyID(k.WalletEncryption) == "" {
		return nil, errors.New("wallet's encryption key: missing")
	}
	return &Terminal{address: k.Address, sign: sign, attest: attest, wallet: wallet, sealTo: k.WalletEncryption}, nil
}

// Address is the terminal's name in topics.
func (t *Terminal) Address() Address { return t.address }

// Seal makes the signed message of an Up struct. The same call makes other bytes
// whenever a record is sealed: make it once, store it, resend those bytes.
func (t *Terminal) Seal(h Header, d Data) ([]byte, error) {
	if upDecoder(d.Kind()) == nil {
		return nil, fmt.Errorf("seal %s: not a terminal's message", d.Kind())
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind(), err)
	}
	var sealed string
	if p, ok := d.(interface{ clear() (ID, Record) }); ok {
		var err error
		if sealed, err = t.sealRecord(p.clear()); err != nil {
			return nil, err
		}
	}
	payload, err := encode(t.address.String(), "", h, d, sealed)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind(), err)
	}
	return t.sign(payload)
}

// Open verifies a message that arrived on topic (out of a batch: see [Split]) and
// reads it. It has the wallet's signature, is for this terminal and of the topic's kind, or there is
// an error.
func (t *Terminal) Open(topic string, raw []byte) (*Message, error) {
	address, segment, err := parseTopic(topic, "down")
	if err != nil {
		return nil, err
	}
	if address != t.address {
		return nil, fmt.Errorf("topic of another terminal: %w", ErrForeign)
	}
	m, err := t.read(raw)
	if err != nil {
		return nil, err
	}
	if err := m.Kind.belongs(segment); err != nil {
		return nil, err
	}
	return m, nil
}

// read verifies and reads an answer of the wallet to this terminal.
func (t *Terminal) read(raw []byte) (*Message, error) {
	payload, err := verify(raw, jwsType, func(kid string) (ed25519.PublicKey, error) { return t.wallet[kid], nil })
	if err != nil {
		return nil, err
	}
	e, m, err := decodeEnvelope(payload)
	if err != nil {
		return nil, err
	}
	if e.Source != walletSource || e.Audience != t.address.String() {
		return nil, fmt.Errorf("not from the wallet to this terminal: %w", ErrForeign)
	}
	m.Terminal, m.Raw = t.address, raw
	noRecord := func(ID, string) (Record, error) { return Record{}, errors.New("record: not in an answer") }
	if err := m.open(e, downDecoder(m.Kind), noRecord); err != nil {
		return nil, err
	}
	return m, nil
}

// sealRecord gives the JWE of a record, or nothing for no record.
func (t *Terminal) sealRecord(payment ID, r Record) (string, error) {
	if r.Bytes() == nil {
		return "", nil
	}
	return sealRecord(t.sealTo, t.address, payment, r)
}
