package lane

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile is far above any key file; a wrong path must not fill the memory.
const maxKeyFile = 64 << 10

// KeyError says which key cannot be used. It never holds a key.
type KeyError struct{ Setting, Path, Why string }

func (e *KeyError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Setting, e.Path, e.Why) }

// readSecret reads a file that nobody but its owner may read. A credential of
// systemd is shown to the service alone, with a mode that an ACL widens for it.
func readSecret(setting, path string) ([]byte, error) {
	forbidden := fs.FileMode(0o077)
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		forbidden = 0o007
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&forbidden != 0 {
		return nil, &KeyError{setting, path, fmt.Sprintf("mode is %04o, want 0600", info.Mode().Perm())}
	}
	return readKeyFile(setting, path)
}

func readKeyFile(setting, path string) ([]byte, error) {
	if path == "" {
		return nil, &KeyError{setting, `""`, "not set"}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &KeyError{setting, path, "no such file"}
	case err == nil && info.Size() > maxKeyFile:
		return nil, &KeyError{setting, path, "too large for a key"}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, &KeyError{setting, path, errors.Unwrap(err).Error()}
	}
	return raw, nil
}

func readSigner(path string) (ed25519.PrivateKey, error) {
	const setting = "keys.terminal_signing"
	raw, err := readSecret(setting, path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, &KeyError{setting, path, "no PEM block"}
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, &KeyError{setting, path, "want an Ed25519 private key in PKCS #8"}
	}
	return signer, nil
}

func readPublic(setting, path string) (any, error) {
	raw, err := readKeyFile(setting, path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, &KeyError{setting, path, "no PEM block"}
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, &KeyError{setting, path, "no public key in PKIX form"}
	}
	return key, nil
}

func readWalletSigning(path string) (ed25519.PublicKey, error) {
	const setting = "keys.wallet_signing"
	key, err := readPublic(setting, path)
	if err != nil {
		return nil, err
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, &KeyError{setting, path, "want an Ed25519 public key"}
	}
	return public, nil
}

func readWalletEncryption(path string) (*ecdsa.PublicKey, error) {
	const setting = "keys.wallet_encryption"
	key, err := readPublic(setting, path)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, &KeyError{setting, path, "want a P-256 public key"}
	}
	return public, nil
}
