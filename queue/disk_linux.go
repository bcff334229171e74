package queue

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes the bytes of a file durable, whoever wrote them and how.
func datasync(f *os.File) error {
	return uninterrupted(func() error { return syscall.Fdatasync(int(f.Fd())) })
}

// reserveBytes makes a file of that size with room on the disk behind it.
func reserveBytes(f *os.File, size int64) error {
	return uninterrupted(func() error { return syscall.Fallocate(int(f.Fd()), 0, 0, size) })
}

// readOnly says whether a file system is mounted so.
func readOnly(st *syscall.Statfs_t) bool {
	const flag = 1 // ST_RDONLY of statfs(2)
	return st.Flags&flag != 0
}

// uninterrupted calls again after a signal, as package os does: some file
// systems let one through, and it says nothing about the disk.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
