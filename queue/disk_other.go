//go:build unix && !linux

package queue

import "os"

// datasync makes the bytes of a file of fixed size durable.
func datasync(f *os.File) error { return f.Sync() }
