package lanetest

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

// writeKeys makes the terminal's keys and writes the files that the daemon reads.
func (s *Store) writeKeys() (ed25519.PublicKey, error) {
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
	return public, s.Write(map[string][]byte{
		"keys/journal-master":        []byte(hex.EncodeToString(master) + "\n"),
		"keys/terminal-signing.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: signing}),
		"keys/wallet-signing.pem":    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: walletSigning}),
		"keys/wallet-encryption.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: walletEncryption}),
	})
}

// writeFirmware writes the configuration data that a fleet ships, with this
// store's own CA key and limits, and an empty CRL and exception list of today.
func (s *Store) writeFirmware(l Limits) error {
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
	for key, value := range map[string]int64{"max_sum_minor": l.SumMinor, "max_device_minor": l.DeviceMinor} {
		changed, ok := setting(files[terminal], key, value)
		if !ok {
			return fmt.Errorf("%s: no setting %s", terminal, key)
		}
		files[terminal] = changed
	}
	ca := s.keys.Issuer.CAKey()
	name, body, err := bundle.FormatCAKey(bundle.Test, ca.RID, ca.Index, ca.Public[:], time.Now().AddDate(1, 0, 0), "made for this store")
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
	return s.Write(files)
}

// setting replaces the value of a TOML key, keeping the comment behind it.
func setting(file []byte, key string, value int64) ([]byte, bool) {
	lines := bytes.Split(file, []byte("\n"))
	for i, line := range lines {
		name, rest, ok := bytes.Cut(line, []byte("="))
		if !ok || string(bytes.TrimSpace(name)) != key {
			continue
		}
		_, comment, _ := bytes.Cut(rest, []byte("#"))
		lines[i] = fmt.Appendf(nil, "%s = %d #%s", key, value, comment)
		return bytes.Join(lines, []byte("\n")), true
	}
	return nil, false
}

// Write writes files below the store's folder, for the owner alone.
func (s *Store) Write(files map[string][]byte) error {
	for name, content := range files {
		path := s.Path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
