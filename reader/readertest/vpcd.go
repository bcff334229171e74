package readertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// TB is the part of testing.TB that VPCD needs; package testing itself stays out of the demonstrations' binaries.
type TB interface {
	Helper()
	Cleanup(func())
	Setenv(key, value string)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// VPCD gives a test a pcscd with a virtual reader, and ends it after the test: a private one, else the machine's own.
// Where there is neither, the test fails under CI=true and is skipped elsewhere.
//
// It sets the environment of the test's process, and its folder belongs to the process, so that each test of a process
// may have one, one after the other.
func VPCD(t TB) *PCSCD {
	t.Helper()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tapkeeper-pcscd-%d", os.Getpid()))
	p, err := StartPCSCD(context.Background(), dir)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err != nil {
		var systemErr error
		if p, systemErr = SystemPCSCD(); systemErr != nil {
			missing(t, fmt.Errorf("%w; %w", err, systemErr))
			return nil
		}
	}
	t.Cleanup(func() { _ = p.Close() })
	for _, entry := range p.Env() {
		key, value, _ := strings.Cut(entry, "=")
		t.Setenv(key, value)
	}
	return p
}

func missing(t TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v", err)
		return
	}
	t.Skipf("%v", err)
}
