package queue

import (
	"os"
	"syscall"
)

// datasync makes the bytes of a file durable, whoever wrote them and how.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// reserveBytes makes a file of that size with room on the disk behind it.
func reserveBytes(f *os.File, size int64) error {
	return syscall.Fallocate(int(f.Fd()), 0, 0, size)
}
