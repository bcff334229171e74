package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"

	"tapkeeper/lane"
)

// config is the daemon's file: the lane, and where the till reaches it.
type config struct {
	Till tillConfig `toml:"till"`
	lane.Config
}

// tillConfig says where tills and the tool reach the daemon.
type tillConfig struct {
	Socket string `toml:"socket"` // default /run/tapkeeper/tapkeeper.sock
}

const (
	// maxConfig is far above any configuration; a wrong path must not fill the memory.
	maxConfig = 1 << 20
	// maxSocketPath is what the kernel takes (unix(7): 108 bytes with the last zero).
	maxSocketPath = 107
)

// loadConfig reads a file strictly: unknown keys and wrong types are refused
// with their line.
func loadConfig(path string) (config, error) {
	var c config
	raw, err := readBounded(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, refuse(path, "no such file", "name it with --config FILE; docs/operations.md has an example")
	case err != nil:
		return c, refuse(path, reasonOf(err), "--config names a file that the daemon's user can read")
	case len(raw) > maxConfig:
		return c, refuse(path, "too large for a configuration", "--config names another file than it should")
	}
	d := toml.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, decodeError(path, err)
	}
	if c.Till.Socket == "" {
		c.Till.Socket = defaultSocket
	}
	err = c.Validate()
	if err == nil && (!filepath.IsAbs(c.Till.Socket) || len(c.Till.Socket) > maxSocketPath) {
		err = &lane.FieldError{Field: "till.socket", Want: fmt.Sprintf("an absolute path of at most %d bytes", maxSocketPath), Found: c.Till.Socket}
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readBounded reads a little more than a configuration may have, so that too
// much is noticed.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, maxConfig+1))
}

// reasonOf is an error of a file without the path, which stands before it.
func reasonOf(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func decodeError(path string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		line, _ := first.Position()
		return refuse(fmt.Sprintf("%s:%d", path, line), "unknown key "+key(first.Key()), "see the list of settings in docs/operations.md")
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		where := fmt.Sprintf("%s:%d", path, line)
		if k := key(decode.Key()); k != "" {
			return refuse(where, k+": "+decode.Error(), "see the list of settings in docs/operations.md")
		}
		return refuse(where, decode.Error(), "correct this line")
	}
	return refuse(path, err.Error(), "correct the file")
}

func key(parts toml.Key) string {
	var b bytes.Buffer
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	return b.String()
}

func refuse(where, why, hint string) error {
	return &failure{exitConfig, fmt.Errorf("%s: %s", where, why), hint}
}
