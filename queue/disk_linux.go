package queue

import (
	"os"
	"syscall"
)

// datasync makes the bytes of a file of fixed size durable.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
