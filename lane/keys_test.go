package lane

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A key that others may read is refused; one that systemd shows to this service
// alone is taken, with the mode that systemd gives it.
func TestSecretModes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for _, c := range []struct {
		mode       os.FileMode
		credential bool
		ok         bool
	}{{0o600, false, true}, {0o400, false, true}, {0o440, false, false}, {0o604, false, false}, {0o440, true, true}, {0o444, true, false}} {
		if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", "")
		if c.credential {
			t.Setenv("CREDENTIALS_DIRECTORY", dir+"/")
		}
		_, err := readSecret("keys.test", path)
		var refused *KeyError
		if c.ok != (err == nil) || (!c.ok && !errors.As(err, &refused)) {
			t.Errorf("mode %04o, credential %v: %v", c.mode, c.credential, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
