//go:build unix

package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is our own lock file: Badger's is taken only after it has touched
// the directory.
const lockName = "lock"

// lockDir keeps every other process out until the file is closed. A killed
// process leaves no lock behind.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held; the daemon has it open", ErrLocked, f.Name())
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// freeBytes is what a process without privileges may still write.
func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	if readOnly(&st) {
		return 0, fmt.Errorf("%w: it is mounted read-only", ErrDisk)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

// touch asks a file system whether it takes a write, where the lock is: one that
// turned read-only after an error of its own says so to whoever writes, and to
// nobody else. That it is full is for others to say.
func touch(lock *os.File) error {
	if _, err := lock.WriteAt([]byte{0}, 0); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return nil
}

// writeWhole makes a file appear under its name with all its bytes, durable.
func writeWhole(dir, name string, b []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncPath(dir)
	}
	return err
}

// syncPath makes a file, or the names in a directory, durable.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// syncTree makes a directory of files durable as it stands.
func syncTree(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		// Badger removes a log when its table is durable.
		if err := syncPath(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncPath(dir)
}
