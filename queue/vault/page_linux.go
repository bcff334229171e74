package vault

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// page is memory outside of Go's heap, between two pages that nobody may touch.
// The collector neither moves nor copies it.
type page struct {
	all   []byte
	bytes []byte // the one that can be used
}

// newPage gives a page that can be written. It is locked: never in swap. No core
// file and no child has it.
func newPage() (*page, error) {
	size := os.Getpagesize()
	all, err := unix.Mmap(-1, 0, 3*size, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("memory for a key: %w", err)
	}
	p := &page{all, all[size : 2*size : 2*size]}
	if err = unix.Madvise(p.bytes, unix.MADV_DONTDUMP); err == nil {
		err = unix.Madvise(p.bytes, unix.MADV_DONTFORK)
	}
	if err == nil {
		err = p.open()
	}
	if err == nil {
		err = lock(p.bytes)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memory for a key: %w", err), unix.Munmap(all))
	}
	return p, nil
}

func lock(b []byte) error {
	err := unix.Mlock(b)
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EAGAIN) {
		return &Error{"memory", "a page for the key cannot be locked: " + err.Error(), "allow it: LimitMEMLOCK=16M in the unit, or ulimit -l 16384"}
	}
	return err
}

func (p *page) open() error { return unix.Mprotect(p.bytes, unix.PROT_READ|unix.PROT_WRITE) }

func (p *page) shut() error { return unix.Mprotect(p.bytes, unix.PROT_NONE) }

// close wipes the page and gives it back.
func (p *page) close() error {
	if err := p.open(); err != nil {
		return err
	}
	clear(p.bytes)
	return errors.Join(unix.Munlock(p.bytes), unix.Munmap(p.all))
}

// Seclude keeps the process's memory from others: no core file, and neither
// another process of the same user nor a debugger of it reads it. Root still can.
func Seclude() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid dumps of memory: %w", err)
	}
	return nil
}
