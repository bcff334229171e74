//go:build !linux

package till

import "net"

// peerUID knows nobody: without the operating system's word no evidence leaves.
func peerUID(net.Conn) (int, bool) { return 0, false }
