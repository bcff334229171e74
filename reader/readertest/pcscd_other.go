//go:build !linux

package readertest

import "syscall"

// namespaces: without Linux the script fails at its first mount.
func namespaces() *syscall.SysProcAttr { return nil }
