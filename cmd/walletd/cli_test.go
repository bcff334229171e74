package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/wallet/phone"
)

func TestInitMakesAWholeWallet(t *testing.T) {
	_, key := terminalKey(t)
	dir := filepath.Join(t.TempDir(), "w")
	out := mustRun(t, "init", "--dir", dir)
	if !strings.Contains(out, dir) {
		t.Errorf("init said %q", out)
	}
	for name, mode := range map[string]os.FileMode{
		keysName: 0o600, ledgerName: 0o600, "phones/alice.json": 0o600, "phones/bob.json": 0o600, "phones/carol.json": 0o600,
		"public/wallet-signing.pem": 0o644, "public/wallet-encryption.pem": 0o644, "public/capk/test/F05441504B-01.toml": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, want mode %o", name, err, mode)
		}
	}
	f, err := phone.LoadFile(filepath.Join(dir, "phones/alice.json"))
	if err != nil || len(f.Cards) != 1 {
		t.Errorf("alice's phone: %v", err)
	}
	mustRun(t, "enrol", "--dir", dir, "--terminal-key", key)
	mustRun(t, "enrol", "--dir", dir, "--terminal-key", key, "--terminal", "lane-2", "--scheme-terminal", "TERM0002")
}

// An init that was cut short before the keys were written can be run again.
func TestInitAfterACut(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, "init", "--dir", dir)
	must(t, os.Remove(filepath.Join(dir, keysName)))
	mustRun(t, "init", "--dir", dir)
	mustRun(t, "check", "--dir", dir)
}

// Every refusal is one line, a hint, and the exit status of its kind.
func TestRefusals(t *testing.T) {
	good, empty := filepath.Join(t.TempDir(), "good"), t.TempDir()
	mustRun(t, "init", "--dir", good)
	damaged := t.TempDir()
	mustRun(t, "init", "--dir", damaged)
	must(t, os.WriteFile(filepath.Join(damaged, keysName), []byte("{}"), 0o600))
	open := t.TempDir()
	mustRun(t, "init", "--dir", open)
	must(t, os.Chmod(filepath.Join(open, keysName), 0o644))
	noKey := filepath.Join(t.TempDir(), "x.pem")
	must(t, os.WriteFile(noKey, []byte("no key"), 0o600))
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"unknown verb":            {[]string{"pay"}, exitUsage},
		"unknown flag":            {[]string{"serve", "--no"}, exitUsage},
		"argument":                {[]string{"accounts", "x"}, exitUsage},
		"broker":                  {[]string{"serve", "--dir", good, "--broker", "http://x"}, exitUsage},
		"workers":                 {[]string{"serve", "--dir", good, "--workers", "0"}, exitUsage},
		"certificate without TLS": {[]string{"serve", "--dir", good, "--tls-ca", noKey}, exitConfig},
		"authority":               {[]string{"serve", "--dir", good, "--broker", "mqtts://x", "--tls-ca", noKey}, exitConfig},
		"no wallet there":         {[]string{"serve", "--dir", empty}, exitConfig},
		"no ledger there":         {[]string{"accounts", "--dir", empty}, exitConfig},
		"a wallet is there":       {[]string{"init", "--dir", good}, exitConfig},
		"damaged keys":            {[]string{"serve", "--dir", damaged}, exitConfig},
		"keys that all may read":  {[]string{"serve", "--dir", open}, exitConfig},
		"no terminal key":         {[]string{"enrol", "--dir", good}, exitConfig},
		"not a terminal key":      {[]string{"enrol", "--dir", good, "--terminal-key", noKey}, exitConfig},
		"not a ledger":            {[]string{"accounts", "--dir", notALedger(t)}, exitUnavailable},
	} {
		code, stdout, stderr := walletd(t, c.args...)
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		if code != c.code || stdout != "" || len(lines) != 2 || !strings.HasPrefix(lines[0], "error: ") || !strings.HasPrefix(lines[1], "hint: ") {
			t.Errorf("%s: exit %d, want %d; stdout %q, stderr %q", name, code, c.code, stdout, stderr)
		}
	}
}

func notALedger(t *testing.T) string {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, ledgerName), []byte(strings.Repeat("not a database. ", 100)), 0o600))
	return dir
}

func TestParseBroker(t *testing.T) {
	for text, host := range map[string]string{
		"mqtt://broker": "broker:1883", "mqtts://broker": "broker:8883", "mqtt://127.0.0.1:1": "127.0.0.1:1", "mqtt://[::1]:2": "[::1]:2",
		"mqtts://a,mqtts://b:1": "a:8883,b:1", "mqtts://a,mqtt://b": "",
		"": "", "mqtt://": "", "tcp://broker": "", "mqtt://user:pass@broker": "", "mqtt://broker/path": "", "broker:1883": "",
	} {
		b, err := parseBroker(text)
		if b.String() != host || (err == nil) != (host != "") || err == nil && (b.tls != nil) != strings.HasPrefix(text, "mqtts") {
			t.Errorf("%q: %q %v", text, b, err)
		}
	}
}
