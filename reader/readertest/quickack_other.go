//go:build !linux

package readertest

import "net"

func quickACK(*net.TCPConn) {}
