package uplinktest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Process is a mosquitto of its own, with no persistence, on a loopback port.
type Process struct {
	Child
	t          TB
	addr       string
	walletAddr string
	tls        bool
}

// Mosquitto starts a real broker with extra configuration lines, or skips the
// test when there is none. Under CI=true a missing broker fails.
func Mosquitto(t TB, lines ...string) *Process {
	t.Helper()
	addr := FreePort(t)
	if len(lines) == 0 {
		lines = []string{"allow_anonymous true"}
	}
	config := fmt.Sprintf("listener %s 127.0.0.1\npersistence false\nset_tcp_nodelay true\n", port(addr))
	for _, l := range lines {
		config += l + "\n"
	}
	return launch(t, &Process{t: t, addr: addr, walletAddr: addr}, []byte(config))
}

// SecureMosquitto starts a real broker as docs/brokers has it: TLS 1.3, client
// certificates, rules per terminal. Terminals connect to URL with a certificate of
// the name merchant/terminal, wallets to WalletURL with one of the name wallet.
func SecureMosquitto(t TB, a *Authority, lines ...string) *Process {
	t.Helper()
	dir := t.TempDir()
	acl := filepath.Join(dir, "acl")
	if err := os.WriteFile(acl, BrokerFile(t, "acl"), 0o644); err != nil {
		t.Fatalf("mosquitto: %v", err)
	}
	p := &Process{t: t, addr: FreePort(t), walletAddr: FreePort(t), tls: true}
	id := a.Issue("broker", 0)
	config := BrokerFile(t, "mosquitto.conf")
	for _, change := range [][2]string{
		{"/etc/mosquitto/tapkeeper/ca.pem", a.CAFile},
		{"/etc/mosquitto/tapkeeper/broker.pem", id.CertFile},
		{"/etc/mosquitto/tapkeeper/broker.key", id.KeyFile},
		{"/etc/mosquitto/tapkeeper/acl", acl},
		{"listener 8883", "listener " + port(p.addr) + " 127.0.0.1"},
		{"listener 8884", "listener " + port(p.walletAddr) + " 127.0.0.1"},
	} {
		if !bytes.Contains(config, []byte(change[0])) {
			t.Fatalf("mosquitto: %s is no longer in docs/brokers/mosquitto.conf", change[0])
		}
		config = bytes.ReplaceAll(config, []byte(change[0]), []byte(change[1]))
	}
	for _, l := range lines {
		config = append(config, l+"\n"...)
	}
	return launch(t, p, config)
}

func launch(t TB, p *Process, config []byte) *Process {
	t.Helper()
	bin, err := findMosquitto()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mosquitto: %v (CI needs the real broker)", err)
		}
		t.Skipf("mosquitto: %v", err)
	}
	if os.Geteuid() == 0 {
		// else it changes to a user who cannot read the test's files
		config = slices.Concat([]byte("user root\n"), config)
	}
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		t.Fatalf("mosquitto: %v", err)
	}
	p.Command = func() *exec.Cmd { return exec.Command(bin, "-c", file) }
	p.Ready = func() error { return errors.Join(listens(p.addr), listens(p.walletAddr)) }
	t.Cleanup(p.Kill)
	p.Restart()
	return p
}

// URL is the broker's address for uplink.Config.
func (p *Process) URL() string { return p.scheme() + p.addr }

// WalletURL is the address for the wallet's workers.
func (p *Process) WalletURL() string { return p.scheme() + p.walletAddr }

// Addr is host and port for terminals.
func (p *Process) Addr() string { return p.addr }

// WalletAddr is host and port for the wallet's workers.
func (p *Process) WalletAddr() string { return p.walletAddr }

func (p *Process) scheme() string {
	if p.tls {
		return "mqtts://"
	}
	return "mqtt://"
}

// Restart starts it again after Kill, on the same ports and with nothing kept.
func (p *Process) Restart() {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatalf("mosquitto: %v", err)
	}
	if err := p.Await(); err != nil {
		p.t.Fatalf("mosquitto: %v", err)
	}
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

func findMosquitto() (string, error) {
	if bin, err := exec.LookPath("mosquitto"); err == nil {
		return bin, nil
	}
	// Debian keeps it where users have no path.
	if bin := "/usr/sbin/mosquitto"; isFile(bin) {
		return bin, nil
	}
	return "", fmt.Errorf("no mosquitto in PATH or /usr/sbin")
}
