package uplink_test

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
	"testing"
	"time"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue writes a certificate for 127.0.0.1 and its key into dir.
func (a *authority) issue(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestMosquittoTLS(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	ca, dir := newAuthority(t), t.TempDir()
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.issue(t, dir, "broker")
	m := uplinktest.Mosquitto(t, "allow_anonymous true", "cafile "+caFile, "certfile "+cert, "keyfile "+key,
		"require_certificate true", "tls_version tlsv1.3")
	clientCert, clientKey := ca.issue(t, dir, "till-1")
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	late := func() time.Time { return time.Now().Add(48 * time.Hour) }
	for _, c := range []struct {
		name   string
		config *tls.Config
		want   uplink.Problem
	}{
		{"good", &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, uplink.None},
		{"no client certificate", &tls.Config{RootCAs: roots}, uplink.TLSFailed},
		{"unknown authority", &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}}, uplink.TLSFailed},
		{"clock two days late", &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, Time: late}, uplink.TLSFailed},
		{"other name", &tls.Config{RootCAs: roots, ServerName: "pay.example", Certificates: []tls.Certificate{pair}}, uplink.TLSFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t, uplink.Config{Broker: "mqtts://" + m.Addr(), Terminal: p.terminal, TLS: c.config}, nil)
			eventually(t, 5*time.Second, "a verdict", func() bool { s := l.Status(); return s.Up || s.Attempts > 0 && s.Problem != uplink.Stopped })
			s := l.Status()
			if s.Problem != c.want || s.Up != (c.want == uplink.None) {
				t.Errorf("got %q %q, want %q", s.Problem, s.Text, c.want)
			}
			t.Log(s.Text)
		})
	}
}
