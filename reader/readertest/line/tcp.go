package line

import (
	"io"
	"net"
	"sync"
)

// TCP is a line whose host connects to an address, one host at a time.
type TCP struct {
	listener net.Listener

	mu   sync.Mutex
	conn net.Conn
}

// ListenTCP makes a line at an address; port 0 is a free one.
func ListenTCP(address string) (*TCP, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &TCP{listener: l}, nil
}

// Addr is where a host connects to.
func (t *TCP) Addr() string { return t.listener.Addr().String() }

// Read waits for bytes of the host, also while there is none. ErrUnplugged says that a host has gone.
func (t *TCP) Read(b []byte) (int, error) {
	conn, err := t.host()
	if err != nil {
		return 0, io.EOF
	}
	if n, err := conn.Read(b); n > 0 || err == nil {
		return n, nil
	}
	t.Cut()
	return 0, ErrUnplugged
}

// host is the connection of the moment, or the next one.
func (t *TCP) host() (net.Conn, error) {
	t.mu.Lock()
	conn := t.conn
	t.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	conn, err := t.listener.Accept()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = conn
	return conn, nil
}

// Write sends to the host. What nobody takes is lost.
func (t *TCP) Write(b []byte) (int, error) {
	t.mu.Lock()
	conn := t.conn
	t.mu.Unlock()
	if conn != nil {
		_, _ = conn.Write(b)
	}
	return len(b), nil
}

// Cut ends the connection of the moment.
func (t *TCP) Cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}

// Close ends the line for good, and a Read with io.EOF.
func (t *TCP) Close() error {
	err := t.listener.Close()
	t.Cut()
	return err
}
