package uplink

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// warnAhead is how long before its end a certificate is warned about: time
	// for a fleet to issue and carry out another.
	warnAhead = 30 * 24 * time.Hour
	// maxPEM bounds a file of certificates; a chain takes a few KiB.
	maxPEM = 256 << 10
)

// Files name the PEM files of TLS. They are read again for every connection and
// looked at once a minute: whoever replaces them needs no restart. Files that do
// not fit together, as in the middle of a change, leave the last good ones in use.
type Files struct {
	CA        string // who signs the broker's certificate; empty: the system's roots
	Cert, Key string // this terminal's certificate, its common name MERCHANT/TERMINAL
}

// Certificate is the state of this terminal's own certificate.
type Certificate struct {
	NotAfter time.Time // zero: there is none
	Expiring bool      // it ends within 30 days, or has ended
	Problem  string    // why the files are not taken; the last good ones are in use
}

// identity is what TLS shows and trusts, as the files have it.
type identity struct {
	files Files
	name  string // the common name that the certificate must have
	now   func() time.Time

	mu      sync.Mutex
	good    *credential
	problem string
}

// credential is one state of the files.
type credential struct {
	stamp  [sha256.Size]byte
	config *tls.Config
	leaf   *x509.Certificate // nil: no certificate of our own
}

// load reads the files. It fails only if nothing good was ever read.
func (i *identity) load() (*credential, error) {
	c, err := i.read()
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		i.problem = err.Error()
		if i.good == nil {
			return nil, &Trouble{Problem: TLSFailed, Text: "this terminal's certificates: " + err.Error(), Err: err}
		}
		return i.good, nil
	}
	i.problem = ""
	if i.good == nil || i.good.stamp != c.stamp {
		i.good = c
	}
	return i.good, nil
}

func (i *identity) read() (*credential, error) {
	var raw [3][]byte
	all := sha256.New()
	for n, file := range []string{i.files.CA, i.files.Cert, i.files.Key} {
		if file == "" {
			continue
		}
		var err error
		if raw[n], err = readPEM(file); err != nil {
			return nil, err
		}
		all.Write(fmt.Appendf(nil, "%d:", len(raw[n])))
		all.Write(raw[n])
	}
	defer clear(raw[2])
	c := &credential{stamp: [sha256.Size]byte(all.Sum(nil)), config: &tls.Config{MinVersion: tls.VersionTLS13}}
	if i.files.CA != "" {
		c.config.RootCAs = x509.NewCertPool()
		if !c.config.RootCAs.AppendCertsFromPEM(raw[0]) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", i.files.CA)
		}
	}
	if i.files.Cert == "" && i.files.Key == "" {
		return c, nil
	}
	pair, err := tls.X509KeyPair(raw[1], raw[2])
	if err != nil {
		return nil, fmt.Errorf("%s and its key do not fit together: %w", i.files.Cert, err)
	}
	if pair.Leaf.Subject.CommonName != i.name {
		return nil, fmt.Errorf("%s is for %q, this terminal is %q", i.files.Cert, pair.Leaf.Subject.CommonName, i.name)
	}
	if i.now().After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("%s has ended on %s", i.files.Cert, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	c.config.Certificates, c.leaf = []tls.Certificate{pair}, pair.Leaf
	return c, nil
}

// readPEM names the file alone: an error must not show what is in it.
func readPEM(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf bytes.Buffer
	if n, err := io.Copy(&buf, io.LimitReader(f, maxPEM+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	} else if n > maxPEM {
		return nil, fmt.Errorf("%s is too large for certificates", file)
	}
	return buf.Bytes(), nil
}

// status of the certificate in use.
func (i *identity) status() Certificate {
	if i == nil {
		return Certificate{}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	c := Certificate{Problem: i.problem}
	if i.good != nil && i.good.leaf != nil {
		c.NotAfter = i.good.leaf.NotAfter
		c.Expiring = i.now().Add(warnAhead).After(c.NotAfter)
	}
	return c
}

// changed tells whether a connection made with c should be renewed.
func (i *identity) changed(c *credential) bool {
	if i == nil {
		return false
	}
	now, err := i.load()
	return err == nil && now != c
}

// errRenew ends a connection whose certificate was replaced.
var errRenew error = &Trouble{Problem: Lost, Text: "the certificate was replaced; connecting with the new one",
	Err: errors.New("renewal")}
