package backend

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/phone"
)

const (
	keyFormat = "tapkeeper-wallet-keys-1"
	keyNotice = "SECRET: master keys of the wallet, in the clear"
	// keyFileMax bounds what is read; a key file has less than 2 KiB.
	keyFileMax = 64 << 10
)

// Keys are all secrets of a wallet backend: those of the issuer and those of the link.
type Keys struct {
	Issuer     *Issuer
	Signing    wire.SigningKey
	Decryption wire.DecryptionKey

	seed, scalar channel.Secret // of Signing and Decryption, for the file
}

// NewKeys adds the link's keys to an issuer's.
func NewKeys(issuer *Issuer, random io.Reader) (*Keys, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("make the wallet's signing key: %w", err)
	}
	agree, err := channel.DrawAgreeKey(random)
	if err != nil {
		return nil, fmt.Errorf("make the wallet's decryption key: %w", err)
	}
	return linkKeys(issuer, seed, agree.Scalar().Bytes())
}

func linkKeys(issuer *Issuer, seed, scalar []byte) (*Keys, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the wallet's signing key has %d bytes", len(seed))
	}
	k := &Keys{Issuer: issuer, seed: channel.NewSecret(seed), scalar: channel.NewSecret(scalar)}
	var err error
	if k.Signing, err = wire.NewSigningKey(ed25519.NewKeyFromSeed(seed)); err != nil {
		return nil, err
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, errors.New("the wallet's decryption key is out of range")
	}
	k.Decryption, err = wire.NewDecryptionKey(private)
	return k, err
}

// keyFile is Keys as they are written. Secrets are Hex here and nowhere else.
type keyFile struct {
	Format      string    `json:"format"`
	Notice      string    `json:"notice"`
	CA          phone.Hex `json:"d_ca"`
	Operator    phone.Hex `json:"d_i"`
	IMK         phone.Hex `json:"imk"`
	KRM         phone.Hex `json:"krm"`
	Certificate phone.Hex `json:"issuer_certificate"`
	Signing     phone.Hex `json:"signing"`
	Decryption  phone.Hex `json:"decryption"`
}

// SaveKeys writes a new file that only its owner may read. An existing file is
// never replaced: the cards made with it would be lost.
func SaveKeys(path string, k *Keys) error {
	i := k.Issuer
	ca, err1 := i.ca.Scalar()
	operator, err2 := i.operator.Scalar()
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	text, err := json.MarshalIndent(keyFile{keyFormat, keyNotice, ca.Bytes(), operator.Bytes(), i.imk.Bytes(), i.krm.Bytes(),
		i.certificate, k.seed.Bytes(), k.scalar.Bytes()}, "", " ")
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}

// LoadKeys reads what SaveKeys wrote. A file that others may read is refused.
func LoadKeys(path string) (*Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read keys: %s may be read by others: %w", path, fs.ErrPermission)
	}
	text, err := io.ReadAll(io.LimitReader(f, keyFileMax))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var k keyFile
	if err := json.Unmarshal(text, &k); err != nil || k.Format != keyFormat {
		return nil, fmt.Errorf("read keys: %s is not of the format %s", path, keyFormat) // the text may be a key
	}
	return k.keys()
}

func (k keyFile) keys() (*Keys, error) {
	i := &Issuer{certificate: k.Certificate}
	var err1, err2, err3, err4 error
	i.ca, err1 = channel.NewSignKey(k.CA)
	i.operator, err2 = channel.NewSignKey(k.Operator)
	i.imk, err3 = channel.NewKey(k.IMK)
	i.krm, err4 = channel.NewKey(k.KRM)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	c, err := cert.ParseIssuer(k.Certificate)
	if err != nil || !c.SignedBy(i.ca.Public()) {
		return nil, errors.New("read keys: the issuer certificate is not by the CA key")
	}
	all, err := linkKeys(i, k.Signing, k.Decryption)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return all, nil
}
