package till

import (
	"net"
	"syscall"
)

// peerUID asks the kernel who connected (SO_PEERCRED).
func peerUID(c net.Conn) (int, bool) {
	local, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return 0, false
	}
	var credentials *syscall.Ucred
	var asked error
	err = raw.Control(func(fd uintptr) {
		credentials, asked = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || asked != nil {
		return 0, false
	}
	return int(credentials.Uid), true
}
