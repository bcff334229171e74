package conform

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/phone"
)

const (
	kitFormat = "tapkeeper-conform-kit-1"
	kitName   = "kit.json"
	// maxKitFile bounds each of the kit's small files.
	maxKitFile = 64 << 10
)

// The kit's cards, each a wallet file phones/NAME.json.
const (
	cardPayer      = "payer"      // with money and an allowance for hundreds of taps
	cardPoor       = "poor"       // with an allowance, and 1 of the minor unit in the account
	cardRestricted = "restricted" // of an account that may not pay
	cardExpired    = "expired"    // whose device certificate has run out
	cardForeign    = "foreign"    // of an issuer whom no CA of the scheme has signed
	cardCloned     = "cloned"     // with money; the suite copies it and so gets it blocked
)

// cards are all of them.
var cards = [...]string{cardPayer, cardPoor, cardRestricted, cardExpired, cardForeign, cardCloned}

// Kit is what a backend prepares for the suite, a folder as docs/wallet-link.md
// describes it under "Conformance". The suite writes the phones' state back.
type Kit struct {
	currency   string
	own        identity
	neighbour  identity // another terminal of the same merchant
	stranger   identity // of another merchant
	signing    ed25519.PublicKey
	encryption *ecdsa.PublicKey
	phones     map[string]*phone.Wallet
	files      map[string]string
}

// identity is an enrolled terminal.
type identity struct {
	address wire.Address
	scheme  string // the id in taps
	key     ed25519.PrivateKey
	cert    *tls.Certificate // for brokers that know terminals by it; nil without
}

type kitFile struct {
	Format    string                     `json:"format"`
	Currency  string                     `json:"currency"`
	Terminals map[string]kitFileTerminal `json:"terminals"`
}

type kitFileTerminal struct {
	Merchant       string `json:"merchant"`
	Terminal       string `json:"terminal"`
	SchemeTerminal string `json:"scheme_terminal"`
	SigningSeed    string `json:"signing_seed"` // 32 bytes, base64url
}

// LoadKit reads a kit's folder. An error names the file.
func LoadKit(dir string) (*Kit, error) {
	var f kitFile
	text, err := readSmall(filepath.Join(dir, kitName))
	if err != nil {
		return nil, fmt.Errorf("read the kit: %w", err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read %s: %w", kitName, err)
	}
	if f.Format != kitFormat {
		return nil, fmt.Errorf("read %s: format %q, want %s", kitName, f.Format, kitFormat)
	}
	k := &Kit{currency: f.Currency, phones: map[string]*phone.Wallet{}, files: map[string]string{}}
	for name, to := range map[string]*identity{"own": &k.own, "neighbour": &k.neighbour, "stranger": &k.stranger} {
		if *to, err = f.Terminals[name].identity(); err != nil {
			return nil, fmt.Errorf("read %s: terminals.%s: %w", kitName, name, err)
		}
		if to.cert, err = certificate(dir, name); err != nil {
			return nil, err
		}
	}
	if k.own.address.Merchant != k.neighbour.address.Merchant || k.own.address.Merchant == k.stranger.address.Merchant {
		return nil, fmt.Errorf("read %s: own and neighbour share a merchant, stranger has another", kitName)
	}
	if k.signing, err = readPublic[ed25519.PublicKey](dir, "wallet-signing.pem"); err != nil {
		return nil, err
	}
	if k.encryption, err = readPublic[*ecdsa.PublicKey](dir, "wallet-encryption.pem"); err != nil {
		return nil, err
	}
	for _, name := range cards {
		path := filepath.Join(dir, "phones", name+".json")
		if k.phones[name], err = phone.Open(path, phone.Options{}); err != nil {
			return nil, fmt.Errorf("read the kit's card: %w", err)
		}
		k.files[name] = path
	}
	return k, nil
}

func (t kitFileTerminal) identity() (identity, error) {
	id := identity{address: wire.Address{Merchant: t.Merchant, Terminal: t.Terminal}, scheme: t.SchemeTerminal}
	if err := id.address.Validate(); err != nil {
		return id, err
	}
	seed, err := base64.RawURLEncoding.DecodeString(t.SigningSeed)
	if err != nil || len(seed) != ed25519.SeedSize {
		return id, errors.New("signing_seed: want 32 bytes in base64url")
	}
	id.key = ed25519.NewKeyFromSeed(seed)
	return id, nil
}

// certificate reads NAME.crt and NAME.key, which a kit need not have.
func certificate(dir, name string) (*tls.Certificate, error) {
	crt, key := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if _, err := os.Stat(crt); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(crt, key)
	if err != nil {
		return nil, fmt.Errorf("read the kit's certificate: %w", err)
	}
	return &c, nil
}

func readPublic[K any](dir, name string) (key K, err error) {
	text, err := readSmall(filepath.Join(dir, name))
	if err != nil {
		return key, fmt.Errorf("read the kit: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return key, fmt.Errorf("read %s: no PEM block", name)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return key, fmt.Errorf("read %s: %w", name, err)
	}
	key, ok := parsed.(K)
	if !ok {
		return key, fmt.Errorf("read %s: a %T", name, parsed)
	}
	return key, nil
}

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKitFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxKitFile)
	}
	return os.ReadFile(path)
}
