package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Error says which key cannot be used, why, and what to do. It holds no key.
type Error struct{ Where, Why, Fix string }

func (e *Error) Error() string { return e.Where + ": " + e.Why }

// ErrReadOnly: the key comes from a place that this process cannot write to.
var ErrReadOnly = errors.New("the key is a credential: who gives it to the service must exchange it")

// Source is a place for a key, and for the one that is to follow it. While keys
// are exchanged both are there; whoever opens something with them tries the first
// and then the next.
type Source struct {
	spec string // as in the settings
	path string
	form form
}

// form is how a key stands in a file.
type form interface {
	read(path string) (*Key, error)
	write(path string, k *Key) error // whole and durable, or not at all
}

// Settings say where a TPM is and what a key is sealed to.
type Settings struct {
	TPM  string // device, or unix:PATH of a simulator; default /dev/tpmrm0
	PCRs []int  // of the SHA-256 bank; none: bound to this TPM alone
	// Owner is who may own a key's file beside root and the caller: the owner of
	// the data that it opens, when root looks at them. 0: nobody else.
	Owner int
}

const (
	// nextName is added to the name of a key for the one that follows it.
	nextName = ".next"
	// nobody is what a credential holds that systemd was told to invent where there is no file.
	nobody = "none"
)

// Parse understands "PATH" or "file:PATH", "credential:NAME" and "tpm:PATH".
func Parse(spec string, s Settings) (*Source, error) {
	kind, rest, ok := strings.Cut(spec, ":")
	if !ok || strings.HasPrefix(spec, "/") {
		kind, rest = "file", spec
	}
	source := &Source{spec: spec, path: rest}
	switch kind {
	case "file":
		source.form = plain{s.Owner}
		if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(rest) == filepath.Clean(dir) {
			source.form = credential{}
		}
	case "credential":
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return nil, &Error{spec, "systemd gave this process no credentials", "LoadCredential= or LoadCredentialEncrypted= in the unit names it; outside of systemd use file:PATH"}
		}
		if rest == "" || rest != filepath.Base(rest) || strings.HasPrefix(rest, ".") {
			return nil, &Error{spec, "want the name of a credential", "the name before the colon in LoadCredential="}
		}
		source.path, source.form = filepath.Join(dir, rest), credential{}
	case "tpm":
		if s.TPM == "" {
			s.TPM = DefaultTPM
		}
		source.form = sealed{s}
	default:
		return nil, &Error{spec, "unknown kind of place", `want "file:PATH", "credential:NAME" or "tpm:PATH"`}
	}
	if !filepath.IsAbs(source.path) {
		return nil, &Error{spec, "not an absolute path", "give the whole path"}
	}
	return source, nil
}

// String is the source as in the settings.
func (s *Source) String() string { return s.spec }

// Load reads the key.
func (s *Source) Load() (*Key, error) { return s.form.read(s.path) }

// Next reads the key that is to follow. fs.ErrNotExist: none is there.
func (s *Source) Next() (*Key, error) {
	if _, err := os.Stat(s.path + nextName); err != nil {
		return nil, err
	}
	return s.form.read(s.path + nextName)
}

// Stage writes the key that is to follow, beside the present one.
func (s *Source) Stage(k *Key) error { return s.form.write(s.path+nextName, k) }

// Promote lets the next key take the place of the present one, at one moment.
func (s *Source) Promote() error {
	if s.ReadOnly() {
		return ErrReadOnly
	}
	if err := os.Rename(s.path+nextName, s.path); err != nil {
		return fmt.Errorf("put the next key in its place: %w", err)
	}
	return syncDir(s.path)
}

// Drop forgets the next key.
func (s *Source) Drop() error {
	if s.ReadOnly() {
		return nil
	}
	err := os.Remove(s.path + nextName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the next key: %w", err)
	}
	return syncDir(s.path)
}

// ReadOnly says whether others keep the key.
func (s *Source) ReadOnly() bool {
	_, is := s.form.(credential)
	return is
}

func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
