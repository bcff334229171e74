package readertest

import (
	"crypto/sha256"
	_ "embed" // the C sources of the lab
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed testdata/ifdlab.c
var ifdlabC []byte

//go:embed testdata/udevshim.c
var udevshimC []byte

// buildLab compiles the two libraries of a Lab, once for each text of their sources, and returns where they are.
func buildLab() (driver, shim string, err error) {
	sum := sha256.Sum256(append(append([]byte(nil), ifdlabC...), udevshimC...))
	// A folder of this user's own: a library that another user could put there would be loaded into a program of ours.
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tapkeeper-lab-%d-%x", os.Getuid(), sum[:6]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	if driver, err = compile(dir, "ifdlab", ifdlabC); err != nil {
		return "", "", err
	}
	shim, err = compile(dir, "udevshim", udevshimC)
	return driver, shim, err
}

func compile(dir, name string, source []byte) (string, error) {
	library := filepath.Join(dir, "lib"+name+".so")
	if _, err := os.Stat(library); err == nil {
		return library, nil
	}
	own, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(own)
	text, made := filepath.Join(own, name+".c"), filepath.Join(own, name+".so")
	if err := os.WriteFile(text, source, 0o600); err != nil {
		return "", err
	}
	args := []string{"-shared", "-fPIC", "-O1", "-I/usr/include/PCSC"}
	if flags, err := exec.Command("pkg-config", "--cflags", "libpcsclite").Output(); err == nil {
		args = append(args, strings.Fields(string(flags))...)
	}
	if out, err := exec.Command("gcc", append(args, "-o", made, text)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: gcc or the headers of libpcsclite-dev are missing: %w: %s", ErrNoPCSCD, err, out)
	}
	return library, os.Rename(made, library)
}
