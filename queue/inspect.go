package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyName is the directory, in the store's own, that holds the copy.
const copyName = "verify"

// Inspect verifies the store in o.Dir without touching it: it copies the files
// beside them, opens the copy, and removes it. Opening a store writes, and Badger
// cuts a damaged log where it stops making sense; evidence must outlive the
// question. Errors are those of Open and Verify, and ErrFull when there is no room
// for the copy. It holds the store's lock: no daemon may run on it.
func Inspect(o Options) (report Report, err error) {
	if _, err := os.Stat(filepath.Join(o.Dir, anchorName)); err != nil {
		if errors.Is(err, fs.ErrNotExist) && !isDir(filepath.Join(o.Dir, databaseName)) {
			return Report{}, fmt.Errorf("there is no journal in %s: %w", o.Dir, fs.ErrNotExist)
		}
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	copied, remove, err := copyStore(o.Dir)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	o.Dir, o.HandedOver = copied, true
	s, err := Open(o)
	if err != nil {
		return Report{}, err
	}
	report, err = s.Verify()
	return report, errors.Join(err, s.Close())
}

// copyStore copies the files of a store beside them, and says how to remove them
// again. Whoever holds the lock knows that a copy which is there was left by a
// process that was killed; Open removes it as well.
func copyStore(dir string) (copied string, remove func() error, err error) {
	copied = filepath.Join(dir, copyName)
	remove = func() error { return os.RemoveAll(copied) }
	if err := remove(); err != nil {
		return "", nil, fmt.Errorf("remove an earlier copy: %w", err)
	}
	if err := roomForCopy(dir); err != nil {
		return "", nil, err
	}
	if err := os.Mkdir(copied, 0o700); err != nil {
		return "", nil, fmt.Errorf("make room for a copy: %w", err)
	}
	for _, part := range []string{".", databaseName} {
		if err := copyFiles(filepath.Join(dir, part), filepath.Join(copied, part)); err != nil {
			return "", nil, errors.Join(fmt.Errorf("copy the journal: %w", err), remove())
		}
	}
	return copied, remove, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// roomForCopy wants what Open wants of the copy, and as much as is copied: the
// tables, and logs that hold at most two tables each.
func roomForCopy(dir string) error {
	p, err := newSpace(dir, filepath.Join(dir, databaseName))
	if err != nil {
		return err
	}
	d, reserve, err := p.measure()
	if err != nil {
		return err
	}
	if need := p.tables + 4*memTableSize + reserve; d.Free < need {
		return fmt.Errorf("%w: a copy to look at needs %d MiB, %d are free", ErrFull, need>>20+1, d.Free>>20)
	}
	return nil
}

// copyFiles copies the files of one directory, without those that say nothing.
func copyFiles(from, to string) error {
	files, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || f.Name() == ballastName || f.Name() == lockName {
			continue
		}
		if err := copyFile(filepath.Join(from, f.Name()), filepath.Join(to, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyFile leaves holes where there are only zeros: Badger's logs are sparse.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	b := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(in, b)
		if n > 0 && !zeros(b[:n]) {
			if _, err := out.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out.Truncate(at)
		}
		if err != nil {
			return err
		}
	}
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
