package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// warnAhead is how long before its end a certificate is warned about.
	warnAhead = 30 * 24 * time.Hour
	// renewCheck is how often the files are looked at while a connection lives.
	renewCheck = time.Minute
)

// tlsFiles are the PEM files of TLS. Each connection reads them anew, so that
// they can be replaced without a restart; files in the middle of a change leave
// the last good ones in use.
type tlsFiles struct {
	ca, cert, key string // ca empty: the system's roots

	mu     sync.Mutex
	good   *tls.Config // nil: never read
	stamp  [sha256.Size]byte
	leaf   *x509.Certificate
	reason error // why the files of now are not taken
}

// load gives a configuration of its own to the caller. It fails only if the
// files were never good.
func (f *tlsFiles) load() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reason = f.read(); f.good == nil {
		return nil, f.reason
	}
	return f.good.Clone(), nil
}

func (f *tlsFiles) read() error {
	if (f.cert == "") != (f.key == "") {
		return errors.New("a certificate needs its key, and a key its certificate")
	}
	config, all := &tls.Config{MinVersion: tls.VersionTLS13}, sha256.New()
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return fmt.Errorf("read the broker's authority: %w", err)
		}
		all.Write(text)
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s: no certificate in it", f.ca)
		}
	}
	var leaf *x509.Certificate
	if f.cert != "" {
		own, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return fmt.Errorf("read the wallet's certificate: %w", err)
		}
		config.Certificates, leaf = []tls.Certificate{own}, own.Leaf
		all.Write(leaf.Raw)
	}
	f.good, f.leaf, f.stamp = config, leaf, [sha256.Size]byte(all.Sum(nil))
	return nil
}

// state is which files are in use, when the certificate ends (zero: there is
// none), and why newer files are not taken.
func (f *tlsFiles) state() (stamp [sha256.Size]byte, notAfter time.Time, reason error) {
	if f == nil {
		return stamp, notAfter, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leaf != nil {
		notAfter = f.leaf.NotAfter
	}
	return f.stamp, notAfter, f.reason
}
