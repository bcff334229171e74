package main

import (
	"bytes"
	"errors"
	"fmt"
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

// maxConfig is far above any configuration; a wrong path must not fill the memory.
const maxConfig = 1 << 20

// loadConfig reads a file strictly: unknown keys and wrong types are refused
// with their line.
func loadConfig(path string) (config, error) {
	var c config
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, refuse(path, "no such file", "name it with --config FILE; docs/operations.md has an example")
	case err != nil:
		return c, refuse(path, err.Error(), "the daemon's user must be able to read it")
	case len(raw) > maxConfig:
		return c, refuse(path, "too large for a configuration", "")
	}
	d := toml.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, decodeError(path, err)
	}
	if c.Till.Socket == "" {
		c.Till.Socket = defaultSocket
	}
	if !filepath.IsAbs(c.Till.Socket) {
		return c, &lane.FieldError{Field: "till.socket", Want: "an absolute path", Found: c.Till.Socket}
	}
	return c, c.Validate()
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
