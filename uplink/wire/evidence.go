package wire

import (
	"crypto/ed25519"
	"fmt"
)

// Attest signs a statement of the terminal for a third party (docs/evidence.md).
// Its type keeps it apart from messages: neither can be passed off as the other.
func (t *Terminal) Attest(statement []byte) ([]byte, error) { return t.attest(statement) }

// ReadAttested gives the statement in raw if this terminal's key has signed it.
func ReadAttested(raw []byte, terminal ed25519.PublicKey) ([]byte, error) {
	return verify(raw, evidenceType, func(string) (ed25519.PublicKey, error) { return terminal, nil })
}

// ReadAnswer is [Terminal.Open] for a third party, who has an answer of the
// wallet as it was received and no topic: it is signed by the wallet's key, and
// for this terminal, or there is an error.
func ReadAnswer(raw []byte, to Address, wallet ed25519.PublicKey) (*Message, error) {
	if len(wallet) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("wallet's signing key: not an Ed25519 public key")
	}
	t := &Terminal{address: to, wallet: map[string]ed25519.PublicKey{KeyID(wallet): wallet}}
	return t.read(raw)
}
