package uplinktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Authority signs the certificates of a test: brokers, terminals, wallets.
type Authority struct {
	CAFile string
	Roots  *x509.CertPool

	t    TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Identity is a certificate and its key, both in PEM files.
type Identity struct{ CertFile, KeyFile string }

// NewAuthority makes one, valid for a year, with files in a folder of the test.
func NewAuthority(t TB) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("authority: %v", err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatalf("authority: %v", err)
	}
	a := &Authority{t: t, dir: t.TempDir(), key: key, Roots: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatalf("authority: %v", err)
	}
	a.Roots.AddCert(a.cert)
	a.CAFile = filepath.Join(a.dir, "ca.pem")
	a.write(a.CAFile, "CERTIFICATE", der)
	return a
}

// Issue makes a certificate with the common name, good for a client and for a
// server on 127.0.0.1, valid for so long (0: 300 days). The same name again
// replaces the files.
func (a *Authority) Issue(name string, valid time.Duration) Identity {
	a.t.Helper()
	if valid == 0 {
		valid = 300 * 24 * time.Hour
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatalf("issue %s: %v", name, err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatalf("issue %s: %v", name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatalf("issue %s: %v", name, err)
	}
	file := filepath.Join(a.dir, strings.ReplaceAll(name, "/", "_"))
	id := Identity{CertFile: file + ".pem", KeyFile: file + ".key"}
	a.write(id.CertFile, "CERTIFICATE", der)
	a.write(id.KeyFile, "PRIVATE KEY", keyDER)
	return id
}

// Client is a TLS configuration that trusts the authority and shows the identity.
func (a *Authority) Client(id Identity) *tls.Config {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(id.CertFile, id.KeyFile)
	if err != nil {
		a.t.Fatalf("read an identity: %v", err)
	}
	return &tls.Config{RootCAs: a.Roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
}

func (a *Authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatalf("authority: %v", err)
	}
}
