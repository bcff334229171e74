package endtoend_test

import (
	"crypto/tls"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/uplink/uplinktest"
)

type configOf = func() *tls.Config

// buildWalletd builds the wallet as a program.
func buildWalletd(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "walletd")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", bin, "tapkeeper/cmd/walletd").CombinedOutput(); err != nil {
		t.Fatalf("build walletd: %v\n%s", err, out)
	}
	return bin
}

// startWalletd runs the wallet on a folder's ledger and keys, and waits until it
// has subscribed.
func startWalletd(t testing.TB, dir, broker string, a *uplinktest.Authority) *uplinktest.Child {
	t.Helper()
	bin, id := buildWalletd(t), a.Issue("wallet", 0)
	w := &uplinktest.Child{}
	w.Command = func() *exec.Cmd {
		return exec.Command(bin, "serve", "--dir", dir, "--workers", "16", "--client-id", "walletd-1",
			"--broker", broker, "--tls-ca", a.CAFile, "--tls-cert", id.CertFile, "--tls-key", id.KeyFile)
	}
	w.Ready = func() error {
		if !strings.Contains(w.Output(), `"message":"ready"`) {
			return errors.New("not ready")
		}
		return nil
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Kill)
	if err := w.Await(); err != nil {
		t.Fatalf("walletd: %v", err)
	}
	return w
}
