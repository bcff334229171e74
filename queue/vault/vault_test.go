package vault

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/queue/vault/vaulttest"
)

// A key cannot be printed, whatever is tried, and cannot be used when it is closed.
func TestKeyIsSilent(t *testing.T) {
	k := keyOf(t, testMaster)
	type holder struct {
		k *Key
		v Key
	}
	var out strings.Builder
	for _, v := range []any{k, *k, holder{k, *k}, &holder{k, *k}, []any{k, *k}, map[string]any{"k": k}, fmt.Errorf("x %v", k)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
			fmt.Fprintf(&out, verb, v)
		}
		b, _ := json.Marshal(v)
		out.Write(b)
	}
	for _, shape := range []string{string(testMaster), hex.EncodeToString(testMaster), strings.ToUpper(hex.EncodeToString(testMaster[:8])), "165 60", "0xa5"} {
		if strings.Contains(out.String(), shape) {
			t.Errorf("a key was printed as %.20q", shape)
		}
	}
	for other, want := range map[*Key]bool{k: true, keyOf(t, testMaster): true, keyOf(t, bytes.Repeat([]byte{9}, Size)): false} {
		if same, err := k.Equal(other); err != nil || same != want {
			t.Errorf("equal: %v, %v, want %v", same, err, want)
		}
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if err := k.Use(func([]byte) error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("a closed key: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// A file that others can read, or could have put there, is refused; nothing is printed of it.
func TestFile(t *testing.T) {
	good := hex.EncodeToString(testMaster) + "\n"
	for _, c := range []struct {
		name, text string
		mode       fs.FileMode
		dir        fs.FileMode
		credential bool
		says       string
	}{
		{"good", good, 0o600, 0o700, false, ""},
		{"no end of line", strings.TrimSpace(good), 0o400, 0o755, false, ""},
		{"of the group", good, 0o640, 0o700, false, "mode is 0640"},
		{"of all", good, 0o604, 0o700, false, "mode is 0604"},
		{"a folder of all", good, 0o600, 0o777, false, "everybody may write"},
		{"a credential", good, 0o440, 0o700, true, ""},
		{"a credential of all", good, 0o444, 0o700, true, "mode is 0444"},
		{"short", good[2:], 0o600, 0o700, false, "32 bytes in hex"},
		{"not hex", "zz" + good[2:], 0o600, 0o700, false, "32 bytes in hex"},
		{"large", strings.Repeat(good, 99), 0o600, 0o700, false, "too large"},
		{"empty", "", 0o600, 0o700, false, "32 bytes in hex"},
	} {
		dir := filepath.Join(t.TempDir(), "keys")
		path := filepath.Join(dir, "master")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(path, []byte(c.text), 0o600), os.Chmod(path, c.mode), os.Chmod(dir, c.dir)); err != nil {
			t.Fatal(err)
		}
		spec := path
		t.Setenv("CREDENTIALS_DIRECTORY", "")
		if c.credential {
			t.Setenv("CREDENTIALS_DIRECTORY", dir)
			spec = "credential:master"
		}
		s, err := Parse(spec, Settings{})
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.Load()
		if c.says == "" {
			shows(t, k, err, testMaster)
			continue
		}
		refusedAs(t, c.name, err, c.says)
		if strings.Contains(err.Error(), good[10:20]) {
			t.Errorf("%s: the error shows the key", c.name)
		}
	}
	s, err := Parse(filepath.Join(t.TempDir(), "none"), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Load()
	refusedAs(t, "missing", err, "no such file")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("not root")
		}
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "master")
	if err := errors.Join(os.WriteFile(path, []byte(hex.EncodeToString(testMaster)), 0o600), os.Chown(path, 4242, -1)); err != nil {
		t.Fatal(err)
	}
	s, _ := Parse(path, Settings{})
	_, err := s.Load()
	refusedAs(t, "of another user", err, "another user")
	s, _ = Parse(path, Settings{Owner: 4242})
	k, err := s.Load()
	shows(t, k, err, testMaster)
}

func TestParse(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for spec, says := range map[string]string{
		"master": "absolute path", "file:master": "absolute path", "tpm:blob": "absolute path", "vault:/x": "unknown kind",
		"credential:master": "no credentials",
	} {
		_, err := Parse(spec, Settings{})
		refusedAs(t, spec, err, says)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", t.TempDir())
	for _, spec := range []string{"credential:", "credential:../master", "credential:.."} {
		_, err := Parse(spec, Settings{})
		refusedAs(t, spec, err, "name of a credential")
	}
}

// The next key stands beside the present one until it takes its place.
func exchange(t *testing.T, s *Source) {
	t.Helper()
	next := bytes.Repeat([]byte{9}, Size)
	if _, err := s.Next(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no next key: %v", err)
	}
	if err := s.Stage(keyOf(t, next)); err != nil {
		t.Fatal(err)
	}
	k, err := s.Load()
	shows(t, k, err, testMaster)
	k, err = s.Next()
	shows(t, k, err, next)
	if err := errors.Join(s.Drop(), s.Drop()); err != nil {
		t.Error(err)
	}
	if _, err := s.Next(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a next key that was dropped: %v", err)
	}
	if err := errors.Join(s.Stage(keyOf(t, next)), s.Promote()); err != nil {
		t.Error(err)
	}
	k, err = s.Load()
	shows(t, k, err, next)
	left, err := os.ReadDir(filepath.Dir(s.path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestExchangeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master")
	if err := Write(path, keyOf(t, testMaster)); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, "written over", Write(path, keyOf(t, testMaster)), "there already")
	s, err := Parse("file:"+path, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s)
}

func TestCredentialIsOthers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "m"), []byte(hex.EncodeToString(testMaster)), 0o400), os.WriteFile(filepath.Join(dir, "m.next"), []byte("none"), 0o400)); err != nil {
		t.Fatal(err)
	}
	s, err := Parse("credential:m", Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a next credential that systemd has invented: %v", err)
	}
	if err := s.Stage(keyOf(t, testMaster)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("stage: %v", err)
	}
	if err := s.Drop(); err != nil || !there(filepath.Join(dir, "m.next")) {
		t.Errorf("drop: %v, or it has removed what is not its own", err)
	}
	if err := s.Promote(); !errors.Is(err, ErrReadOnly) {
		t.Errorf("promote: %v", err)
	}
}

// A key sealed to PCRs comes back while they are the same, and only from the TPM that sealed it.
func TestTPM(t *testing.T) {
	chipA := vaulttest.StartTPM(t)
	path := filepath.Join(t.TempDir(), "master.tpm")
	s, err := Parse("tpm:"+path, Settings{TPM: chipA.Device(), PCRs: []int{7, 11}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.form.write(path, keyOf(t, testMaster)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || bytes.Contains(raw, testMaster) || bytes.Contains(raw, []byte(hex.EncodeToString(testMaster))) {
		t.Errorf("the blob holds the key: %v", err)
	}
	for range 3 { // nothing of a session or an object is left in the chip
		k, err := s.Load()
		shows(t, k, err, testMaster)
	}
	chipA.Restart()
	k, err := s.Load()
	shows(t, k, err, testMaster)

	chipA.Extend(7)
	_, err = s.Load()
	refusedAs(t, "a changed PCR", err, "PCR 7 11 differ")
	chipA.Restart() // and it begins anew
	exchange(t, s)

	chipB := vaulttest.StartTPM(t)
	other, _ := Parse("tpm:"+path, Settings{TPM: chipB.Device()})
	_, err = other.Load()
	refusedAs(t, "another TPM", err, "another TPM")
	chipB.Stop()
	_, err = other.Load()
	refusedAs(t, "no TPM", err, "TPM unix:")

	for i := 40; i < len(raw); i += 29 { // of the old blob, which opens no more, or is no blob
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := s.Load(); err == nil {
			k.Use(func(b []byte) error {
				if !bytes.Equal(b, testMaster) {
					t.Errorf("byte %d: another key was read", i)
				}
				return nil
			})
		}
	}
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
