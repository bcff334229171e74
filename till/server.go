package till

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const (
	// headerTimeout ends callers that connect and say nothing.
	headerTimeout = 5 * time.Second
	// stopTimeout bounds how long a stop waits for answers under way.
	stopTimeout = 2 * time.Second
	// probeTimeout bounds the question whether a socket is in use; a local
	// connect answers at once.
	probeTimeout = time.Second
)

// ErrInUse: somebody already answers on the socket.
var ErrInUse = errors.New("a daemon already answers there")

// Listen opens the till's socket for the user and group of the daemon. A
// socket that a dead daemon left behind is replaced, one in use is not, and
// what is not a socket is never touched.
func Listen(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err // it names the path
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("protect %s: %w", path, err)
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return errors.Unwrap(err)
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("something that is not a socket is there")
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // also with a full backlog, or when we may not ask
		return ErrInUse
	}
	return os.Remove(path)
}

// Serve answers on l until ctx ends, and waits a bounded time for the answers
// under way.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: 2 * headerTimeout,
		WriteTimeout: maxWait + 2*headerTimeout, // a caller that does not read its answer
		BaseContext:  func(net.Listener) context.Context { return ctx },
		ConnContext:  withPeer,
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the till: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		_ = server.Close()
	}
	<-done
	return nil
}
