//go:build unix && !linux

package queue

import (
	"os"
	"syscall"
)

// datasync makes the bytes of a file durable.
func datasync(f *os.File) error { return f.Sync() }

// reserveBytes makes a file of that size with room on the disk behind it.
func reserveBytes(f *os.File, size int64) error {
	_, err := f.WriteAt(make([]byte, size), 0)
	return err
}

// pageOut does nothing where there is no such advice.
func pageOut(string) {}

// readOnly is found out by writing.
func readOnly(*syscall.Statfs_t) bool { return false }
