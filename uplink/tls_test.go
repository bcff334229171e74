package uplink_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tapkeeper/uplink"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
)

const terminalName = "noodle-bar/till-1" // the certificate's common name

func (p parties) startDesk(t *testing.T, m *uplinktest.Process, a *uplinktest.Authority) *desk {
	t.Helper()
	d := newDesk(t, p.wallet)
	connectSecureDesk(t, "ssl://"+m.WalletAddr(), a.Client(a.Issue("wallet", 0)), d)
	return d
}

func filesOf(a *uplinktest.Authority, id uplinktest.Identity) uplink.Files {
	return uplink.Files{CA: a.CAFile, Cert: id.CertFile, Key: id.KeyFile}
}

// verdict waits until the link is up or has failed once.
func verdict(t *testing.T, l *uplink.Link) uplink.Status {
	t.Helper()
	eventually(t, 20*time.Second, "a verdict", func() bool {
		s := l.Status()
		return s.Up || s.Attempts > 0 && s.Problem != uplink.Stopped
	})
	return l.Status()
}

func TestMosquittoTLS(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	good := a.Client(a.Issue(terminalName, 0))
	late := func() time.Time { return time.Now().AddDate(2, 0, 0) }
	for _, c := range []struct {
		name   string
		config *tls.Config
		want   uplink.Problem
	}{
		{"good", good, uplink.None},
		{"no client certificate", &tls.Config{RootCAs: a.Roots}, uplink.TLSFailed},
		{"unknown authority", &tls.Config{RootCAs: x509.NewCertPool(), Certificates: good.Certificates}, uplink.TLSFailed},
		{"clock two years late", &tls.Config{RootCAs: a.Roots, Certificates: good.Certificates, Time: late}, uplink.TLSFailed},
		{"other name", &tls.Config{RootCAs: a.Roots, ServerName: "pay.example", Certificates: good.Certificates}, uplink.TLSFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal, TLS: c.config}, nil)
			s := verdict(t, l)
			if s.Problem != c.want || s.Up != (c.want == uplink.None) {
				t.Errorf("got %q %q, want %q", s.Problem, s.Text, c.want)
			}
			t.Log(s.Text)
		})
	}
}

// A certificate that is not this terminal's, or has ended, is named before the
// broker is asked; one that ends within 30 days is warned about and used.
func TestFilesOfTLSAreJudged(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	other := filesOf(a, a.Issue("noodle-bar/till-2", 0))
	ended := filesOf(a, a.Issue(terminalName, -time.Minute))
	for _, c := range []struct {
		name, text string
		files      uplink.Files
	}{
		{"another terminal's", `is for "noodle-bar/till-2", this terminal is "noodle-bar/till-1"`, other},
		{"ended", "has ended on", ended},
		{"not there", "no such file", uplink.Files{CA: a.CAFile, Cert: "/nowhere.pem", Key: "/nowhere.key"}},
		{"not a certificate", "holds no certificate", uplink.Files{CA: ended.Key}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal, Files: c.files}, nil)
			if s := verdict(t, l); s.Problem != uplink.TLSFailed || !strings.Contains(s.Text, c.text) {
				t.Errorf("%q %q, want %q", s.Problem, s.Text, c.text)
			}
		})
	}
	for days, expiring := range map[time.Duration]bool{29: true, 31: false} {
		t.Run(fmt.Sprint(int64(days), " days ahead"), func(t *testing.T) {
			files := filesOf(a, a.Issue(terminalName, days*24*time.Hour))
			l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal, Files: files}, nil)
			if s := verdict(t, l); !s.Up || s.Certificate.Expiring != expiring || s.Certificate.NotAfter.IsZero() {
				t.Errorf("up %v, %+v", s.Up, s.Certificate)
			}
		})
	}
	for files, want := range map[uplink.Files]string{{Cert: "a"}: "needs its key", {CA: "a"}: "mqtts"} {
		_, err := uplink.New(uplink.Config{Broker: "mqtt://127.0.0.1", Terminal: p.terminal, Files: files})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", files, err, want)
		}
	}
}

// New files are taken without a restart, in a moment without a question, and
// without a will; files that do not fit together change nothing.
func TestCertificateIsRenewed(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	d := p.startDesk(t, m, a)
	id := a.Issue(terminalName, 10*24*time.Hour)
	timing := quick()
	timing.Renew = 20 * time.Millisecond
	relay := startRelay(t, m.Addr())
	l := start(t, uplink.Config{Broker: "mqtts://" + relay.Addr(), Terminal: p.terminal, Files: filesOf(a, id), Timing: timing}, nil)
	eventually(t, 5*time.Second, "connected", l.Connected)
	before := l.Status()
	if !before.Certificate.Expiring {
		t.Fatalf("%+v", before.Certificate)
	}
	old, err := os.ReadFile(id.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	a.Issue(terminalName, 90*24*time.Hour) // certificate and key anew
	renewed, err := os.ReadFile(id.KeyFile)
	if err != nil || bytes.Equal(old, renewed) {
		t.Fatalf("the same key: %v", err)
	}
	write := func(key []byte) {
		t.Helper()
		if err := os.WriteFile(id.KeyFile, key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(old) // half of a change
	eventually(t, 5*time.Second, "a problem", func() bool { return l.Status().Certificate.Problem != "" })
	if s := l.Status(); s.Session != before.Session || !s.Up || !s.Certificate.NotAfter.Equal(before.Certificate.NotAfter) {
		t.Errorf("half a change: %+v", s)
	}
	relay.Cut()
	eventually(t, 5*time.Second, "back with the last good certificate", func() bool {
		s := l.Status()
		return s.Up && s.Session > before.Session
	})
	before = l.Status()
	d.mu.Lock()
	d.states = nil // the cut had its will
	d.mu.Unlock()
	write(renewed)
	eventually(t, 15*time.Second, "renewed", func() bool {
		s := l.Status()
		return s.Up && s.Session > before.Session && !s.Certificate.Expiring && s.Certificate.Problem == ""
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.states {
		if !s.Online {
			t.Errorf("the wallet heard that the terminal is gone: %+v", s)
		}
	}
}

// A question that waits is not cut off by a renewal.
func TestRenewalWaitsForACalmMoment(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	a := uplinktest.NewAuthority(t)
	m := uplinktest.SecureMosquitto(t, a)
	d := p.startDesk(t, m, a)
	d.mu.Lock()
	d.silent = func(m *wire.Message) bool { return m.Kind == wire.KindQuery }
	d.mu.Unlock()
	id := a.Issue(terminalName, 0)
	timing := quick()
	timing.Renew = 10 * time.Millisecond
	l := start(t, uplink.Config{Broker: m.URL(), Terminal: p.terminal, Files: filesOf(a, id), Timing: timing}, nil)
	eventually(t, 5*time.Second, "connected", l.Connected)
	session := l.Status().Session
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		ctx, cancel := contextFor(t, time.Second)
		defer cancel()
		qid := newID()
		jws, err := p.terminal.Seal(wire.Header{ID: qid, Time: time.Now()}, wire.Query{PaymentID: newID()})
		if err == nil {
			_, _ = l.Ask(ctx, wire.KindQuery, qid, jws)
		}
	}()
	time.Sleep(50 * time.Millisecond)
	a.Issue(terminalName, 0)
	<-asked
	if s := l.Status(); s.Session != session {
		t.Errorf("renewed in the middle of a question (session %d, then %d)", session, s.Session)
	}
	eventually(t, 15*time.Second, "renewed after it", func() bool { return l.Status().Session > session && l.Status().Up })
}
