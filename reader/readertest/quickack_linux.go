package readertest

import (
	"net"
	"syscall"
)

// quickACK is a hint: when it fails the exchange is slow, not wrong.
func quickACK(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}
