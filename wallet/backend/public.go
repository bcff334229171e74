package backend

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path"
	"time"
)

// caYears is how long terminals may use the CA key; the certificates that it signs end earlier.
const caYears = 10

// PublicFiles are what a terminal must have of this wallet, by file name: its
// public keys in PEM, and the scheme's CA key as a firmware-config file.
func (k *Keys) PublicFiles(now time.Time) (map[string][]byte, error) {
	signing, err := publicPEM(k.Signing.Public())
	if err != nil {
		return nil, fmt.Errorf("write the wallet's signing key: %w", err)
	}
	encryption, err := publicPEM(k.Decryption.Public())
	if err != nil {
		return nil, fmt.Errorf("write the wallet's encryption key: %w", err)
	}
	ca := k.Issuer.CAKey()
	return map[string][]byte{
		"wallet-signing.pem":    signing,
		"wallet-encryption.pem": encryption,
		path.Join("capk", "test", fmt.Sprintf("%X-%02X.toml", ca.RID, ca.Index)): caFile(ca, now),
	}, nil
}

func publicPEM(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func caFile(k CAKey, now time.Time) []byte {
	sum := sha256.Sum256(append(append(k.RID[:], k.Index), k.Public[:]...))
	return fmt.Appendf(nil, `# A scheme CA public key for tests, made with a reference wallet (scheme 1.3).

schema = 1
environment = "test"
rid = "%X"
index = %d
public_key = "%X"
sha256 = "%X"
not_after = %s
source = "walletd init"
`, k.RID, k.Index, k.Public, sum, now.AddDate(caYears, 0, 0).Format(time.DateOnly))
}
