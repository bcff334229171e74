package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/terminal/dispute"
	"tapkeeper/till"
)

// publicKeys writes the public half of the terminal's key, as a technician would.
func (s *shop) publicKeys() {
	s.t.Helper()
	raw, err := os.ReadFile(s.Path("keys/terminal-signing.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	writePublic(s.t, s.Path("terminal.pem"), private.(ed25519.PrivateKey).Public().(ed25519.PublicKey))
}

func writePublic(t *testing.T, path string, key ed25519.PublicKey) {
	t.Helper()
	coded, err := x509.MarshalPKIXPublicKey(key)
	if err == nil {
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: coded}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEvidenceAndVerify: a manager exports, somebody else verifies; the exit
// status and the table say what was asked and what came of it.
func TestEvidenceAndVerify(t *testing.T) {
	s := openShop(t)
	s.publicKeys()
	p := s.tap(rich, s.open(till.OpenRequest{AmountMinor: 18_00, Currency: "CNY", OrderRef: "1001"}))
	out := s.Path("evidence.json")
	if status, stdout, stderr := s.tool("evidence", p.ID, "--out", out); status != exitOK || !strings.Contains(stdout, "tapkeeper verify") {
		t.Fatalf("evidence: status %d, %q, %q", status, stdout, stderr)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is %v, %v; want mode 0600", info.Mode(), err)
	}
	if status, _, stderr := s.tool("evidence", p.ID, "--out", out); status != exitUsage || !strings.Contains(stderr, "never written over") {
		t.Errorf("over a file: status %d, %q", status, stderr)
	}

	all := []string{"verify", out, "--ca", s.Path("firmware"), "--wallet-key", s.Path("keys/wallet-signing.pem"), "--terminal-key", s.Path("terminal.pem")}
	s.stop() // verification needs no daemon
	status, stdout, stderr := s.tool(all...)
	if status != exitOK || stderr != "" {
		t.Fatalf("verify: status %d\n%s%s", status, stdout, stderr)
	}
	for _, want := range []string{"HOLDS as far as it was checked", "1 not checked", "18.00", "支付", "terminal's signature  pass"} {
		if !strings.Contains(strings.ReplaceAll(stdout, "付款", "支付"), want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if status, stdout, _ := s.tool("verify", out); status != exitOK || !strings.Contains(stdout, "no CA key was given") ||
		!strings.Contains(stdout, "no wallet key was given") || !strings.Contains(stdout, "no terminal key was given") {
		t.Errorf("without keys: status %d\n%s", status, stdout)
	}
	one, err := filepath.Glob(s.Path("firmware/capk/test/*.toml"))
	if err != nil || len(one) != 1 {
		t.Fatal(one, err)
	}
	status, stdout, _ = s.tool("verify", out, "--json", "--ca", one[0])
	var report dispute.Report
	if err := json.Unmarshal([]byte(stdout), &report); status != exitOK || err != nil || !report.OK || report.Payment != p.ID || len(report.Checks) < 10 {
		t.Errorf("--json: status %d, %v\n%s", status, err, stdout)
	}
	s.refusals(all, out)
}

func (s *shop) refusals(all []string, out string) {
	raw, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	altered := s.Path("altered.json")
	if err := os.WriteFile(altered, []byte(strings.Replace(string(raw), `"amount_minor": 1800`, `"amount_minor": 180`, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	stranger := s.Path("stranger.pem")
	writePublic(s.t, stranger, public)
	with := func(at int, value string) []string {
		args := append([]string(nil), all...)
		args[at] = value
		return args
	}
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"altered":              {with(1, altered), exitUnexpected, "the phone signed 1800 minor units"},
		"another terminal":     {with(7, stranger), exitUnexpected, "not signed by the key given"},
		"another wallet":       {with(5, stranger), exitUnexpected, "not a receipt that the key given has signed"},
		"no such file":         {with(1, s.Path("none.json")), exitUsage, "none.json"},
		"not an evidence file": {with(1, stranger), exitUnexpected, "not an evidence file"},
		"no CA key there":      {with(3, s.Path("keys")), exitUsage, "--ca"},
		"no such CA":           {with(3, s.Path("nowhere")), exitUsage, "--ca"},
		"a CA that is none":    {with(3, s.Path("firmware/terminal/default.toml")), exitUsage, "--ca"},
		"a private key":        {with(7, s.Path("keys/terminal-signing.pem")), exitUsage, "public key"},
		"the wrong kind":       {with(5, s.Path("keys/wallet-encryption.pem")), exitUsage, "Ed25519"},
		"no PEM":               {with(5, out), exitUsage, "no PEM block"},
		"no file named":        {[]string{"verify"}, exitUsage, "arg"},
		"no --out":             {[]string{"evidence", "x"}, exitUsage, "--out"},
		"no daemon":            {[]string{"evidence", "x", "--out", s.Path("gone.json")}, exitUnavailable, "no daemon"},
	} {
		status, stdout, stderr := s.tool(c.args...)
		if status != c.status || !strings.Contains(stdout+stderr, c.says) {
			s.t.Errorf("%s: status %d, want %d and %q\n%s%s", name, status, c.status, c.says, stdout, stderr)
		}
	}
	if _, err := os.Stat(s.Path("gone.json")); err == nil {
		s.t.Error("an export that failed has left its file")
	}
}
