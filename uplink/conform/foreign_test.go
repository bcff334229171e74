package conform

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire/wiretest"
	"tapkeeper/wallet/backend"
)

// A wallet in another language, with another MQTT client and another JOSE, written
// from docs/wallet-link.md alone, passes the core cases over a real broker.
func TestForeignWalletConforms(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("node: %v (CI needs it)", err)
		}
		t.Skipf("node: %v", err)
	}
	broker := uplinktest.Mosquitto(t)
	b := newBench(t) // for the cards alone
	kit, keys := t.TempDir(), t.TempDir()
	b.must(backend.WriteTestKit(b.Context(), b.ledger, b.keys, kit, "CNY", time.Now()))
	signing, private, err := ed25519.GenerateKey(rand.Reader)
	b.must(err)
	decryption, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.must(err)
	b.writePair(private, filepath.Join(keys, "signing.key"), signing, filepath.Join(kit, "wallet-signing.pem"))
	b.writePair(decryption, filepath.Join(keys, "encryption.key"), &decryption.PublicKey, filepath.Join(kit, "wallet-encryption.pem"))

	host, port, err := net.SplitHostPort(broker.Addr())
	b.must(err)
	cmd := exec.Command(node, filepath.Join("testdata", "foreign", "main.mjs"), host, port, kit, keys)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	b.must(err)
	b.must(cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the foreign wallet is not ready: %q", lines.Text())
	}
	k, err := LoadKit(kit)
	b.must(err)
	report, err := Run(t.Context(), Config{Broker: broker.URL(), Kit: k, Core: true, Quiet: 50 * time.Millisecond, Seen: wiretest.Watch(t)})
	b.must(err)
	for _, c := range report.Cases {
		if c.Outcome == Failed {
			t.Errorf("%d %s: %s", c.Number, c.Name, c.Why)
		}
	}
	b.must(cmd.Process.Signal(syscall.SIGTERM))
	lines.Scan()
	dropped := lines.Text()
	b.must(cmd.Wait())
	t.Logf("%d passed, %d failed, %d skipped; dropped %s", report.Passed, report.Failed, report.Skipped, dropped)
	for _, name := range []string{"too_large", "unsigned", "unknown_key", "bad_signature", "elsewhere", "unknown_type"} {
		if !strings.Contains(dropped, `"`+name+`"`) {
			t.Errorf("nothing was dropped as %s: %s", name, dropped)
		}
	}
}

// writePair writes a private key and the public one that the kit has.
func (b *bench) writePair(private any, privatePath string, public any, publicPath string) {
	b.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	b.must(err)
	b.must(os.WriteFile(privatePath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	der, err = x509.MarshalPKIXPublicKey(public)
	b.must(err)
	b.must(os.WriteFile(publicPath, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
}
