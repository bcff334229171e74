package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	firmwareconfig "tapkeeper/firmware-config"
	"tapkeeper/firmware-config/bundle"
)

// limits of the terminal's exposure, in fen.
type limits struct{ sum, device string }

var (
	// storyLimits are small, so that the story reaches them: ¥60.
	storyLimits = limits{"6000", "6000"}
	// roomyLimits are far away while playing or measuring.
	roomyLimits = limits{"100000000", "100000000"}
)

// writeKeys makes the terminal's keys and writes the files that the daemon reads.
func (s *store) writeKeys() (ed25519.PublicKey, error) {
	master := make([]byte, 32)
	if _, err := rand.Read(master); err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signing, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	walletSigning, err := x509.MarshalPKIXPublicKey(s.keys.Signing.Public())
	if err != nil {
		return nil, err
	}
	walletEncryption, err := x509.MarshalPKIXPublicKey(s.keys.Decryption.Public())
	if err != nil {
		return nil, err
	}
	return public, s.write(map[string][]byte{
		"keys/journal-master":        []byte(hex.EncodeToString(master) + "\n"),
		"keys/terminal-signing.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: signing}),
		"keys/wallet-signing.pem":    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: walletSigning}),
		"keys/wallet-encryption.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: walletEncryption}),
	})
}

// writeFirmware writes the configuration data that a fleet ships, with this
// store's own CA key and limits, and an empty CRL and exception list of today.
func (s *store) writeFirmware(l limits) error {
	files := map[string][]byte{}
	source := firmwareconfig.Files()
	err := fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "capk/") {
			return err
		}
		files["firmware/"+name], err = fs.ReadFile(source, name)
		return err
	})
	if err != nil {
		return err
	}
	const terminal = "firmware/terminal/default.toml"
	for key, value := range map[string]string{"max_sum_minor": l.sum, "max_device_minor": l.device} {
		changed, ok := setting(files[terminal], key, value)
		if !ok {
			return fmt.Errorf("%s: no setting %s", terminal, key)
		}
		files[terminal] = changed
	}
	ca := s.keys.Issuer.CAKey()
	name, body, err := bundle.FormatCAKey(bundle.Test, ca.RID, ca.Index, ca.Public[:], time.Now().AddDate(1, 0, 0), "made by tapdemo")
	if err != nil {
		return err
	}
	files["firmware/"+name] = body
	hotlist, err := bundle.FormatHotlist(1, time.Now().UTC().Truncate(time.Second), nil)
	if err != nil {
		return err
	}
	for name, body := range hotlist {
		files["hotlist/"+name] = body
	}
	return s.write(files)
}

// setting replaces the value of a TOML key, keeping the comment behind it.
func setting(file []byte, key, value string) ([]byte, bool) {
	lines := bytes.Split(file, []byte("\n"))
	for i, line := range lines {
		name, rest, ok := bytes.Cut(line, []byte("="))
		if !ok || string(bytes.TrimSpace(name)) != key {
			continue
		}
		_, comment, _ := bytes.Cut(rest, []byte("#"))
		lines[i] = fmt.Appendf(nil, "%s = %s #%s", key, value, comment)
		return bytes.Join(lines, []byte("\n")), true
	}
	return nil, false
}

// writeConfig writes the daemon's configuration.
func (s *store) writeConfig() error {
	reader := fmt.Sprintf("kind = \"virtual\"\nsocket = %q", s.path("reader.sock"))
	if s.pcscd != nil {
		reader = fmt.Sprintf("kind = \"pcsc\"\nname = %q", s.pcscd.Reader)
	}
	return s.write(map[string][]byte{"tapkeeper.toml": fmt.Appendf(nil, `environment = "test"
data_dir = %q
merchant = %q
terminal = %q
terminal_id = %q

[till]
socket = %q

[reader]
%s

[wallet]
broker = %q

[keys]
journal_master = %q
terminal_signing = %q
wallet_signing = %q
wallet_encryption = %q

[firmware_config]
dir = %q
hotlist_dir = %q
`, s.path("data"), merchant, terminalName, schemeTerminal, s.path("till.sock"), reader, s.network.URL(),
		s.path("keys/journal-master"), s.path("keys/terminal-signing.pem"), s.path("keys/wallet-signing.pem"), s.path("keys/wallet-encryption.pem"),
		s.path("firmware"), s.path("hotlist"))})
}

// write writes files below the store's folder, for the owner alone.
func (s *store) write(files map[string][]byte) error {
	for name, content := range files {
		path := s.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
