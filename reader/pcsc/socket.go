package pcsc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// pcsc-lite says "no service" for all of these, so the socket is asked instead.

// socketPath is where libpcsclite looks for pcscd.
func socketPath() string {
	if path := os.Getenv("PCSCLITE_CSOCK_NAME"); path != "" {
		return path
	}
	return "/run/pcscd/pcscd.comm"
}

// socketTimeout bounds a connection to a local socket whose backlog is full.
const socketTimeout = time.Second

// Trouble says why pcscd cannot be reached, with what to do about it; nil when its socket takes connections, which a
// pcscd that hangs does too.
func Trouble() error {
	path := socketPath()
	conn, err := net.DialTimeout("unix", path, socketTimeout)
	switch {
	case err == nil:
		_ = conn.Close()
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not open %s: %w", path, fs.ErrPermission)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s: pcscd is not installed, or pcscd.socket is not enabled: %w", path, fs.ErrNotExist)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens on %s: pcscd has ended, and pcscd.socket is not enabled: %w", path, syscall.ECONNREFUSED)
	}
	return fmt.Errorf("connect to %s: %w", path, err)
}

// forbidden: the service may be there, and this user may not use it.
func forbidden(err error) bool {
	var c code
	switch {
	case !errors.As(err, &c):
		return false
	case c == codeSecurity, c == codeNoAccess:
		return true
	}
	return c == codeNoService && errors.Is(Trouble(), fs.ErrPermission)
}
