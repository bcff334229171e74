package vault

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile is above any form of a key; a wrong path must not fill the memory.
const maxFile = 4096

// Write puts a new key into a file of its own, which must not exist.
func Write(path string, k *Key) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return &Error{path, "it is there already", "name another file: a key is never written over"}
	}
	return plain{}.write(path, k)
}

// plain is a key in hexadecimal, in a file that only its owner can read.
type plain struct{ owner int }

func (f plain) read(path string) (*Key, error) {
	var k *Key
	err := secretFile(path, 0o077, f.owner, func(text []byte) (err error) {
		k, err = fromHex(text)
		return err
	})
	return k, explain(path, err)
}

func (plain) write(path string, k *Key) error {
	p, err := newPage()
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	text := p.bytes[:2*Size+1]
	if err := k.Use(func(master []byte) error { hex.Encode(text, master); return nil }); err != nil {
		return err
	}
	text[2*Size] = '\n'
	return writeWhole(path, text)
}

// credential is a file that systemd shows to this service alone, with a mode that
// an ACL widens for it.
type credential struct{}

func (credential) read(path string) (*Key, error) {
	var k *Key
	err := secretFile(path, 0o007, 0, func(text []byte) (err error) {
		if string(text) == nobody {
			return fs.ErrNotExist
		}
		k, err = fromHex(text)
		return err
	})
	return k, explain(path, err)
}

func (credential) write(string, *Key) error { return ErrReadOnly }

func explain(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &missing{&Error{path, "no such file", "put the key there again: without it nobody opens the journal"}}
	case errors.Is(err, errHex):
		return &Error{path, err.Error(), "made with: openssl rand -hex 32 > FILE"}
	}
	return err
}

// missing is an Error that is fs.ErrNotExist as well.
type missing struct{ is *Error }

func (m *missing) Error() string { return m.is.Error() }

func (m *missing) Unwrap() []error { return []error{m.is, fs.ErrNotExist} }

// secretFile reads a file into a page and shows it to fn. It refuses one that
// others may read or could have put there.
func secretFile(path string, forbidden fs.FileMode, owner int, fn func(text []byte) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return &Error{path, "it cannot be read", "it must belong to the daemon's user: chown tapkeeper FILE"}
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := judge(path, info, forbidden, owner); err != nil {
		return err
	}
	p, err := newPage()
	if err != nil {
		return err
	}
	n, err := io.ReadFull(f, p.bytes[:maxFile])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err == nil {
		err = fn(p.bytes[:n])
	}
	return errors.Join(err, p.close())
}

// judge looks at who may read a file and who could have put it there.
func judge(path string, info fs.FileInfo, forbidden fs.FileMode, owner int) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return &Error{path, "not a file", "name the file of the key"}
	case info.Size() >= maxFile:
		return &Error{path, "too large for a key", "name the file of the key"}
	case mode.Perm()&forbidden != 0:
		return &Error{path, fmt.Sprintf("mode is %04o, want 0600", mode.Perm()), "chmod 0600 FILE, and think of a new key: others could read this one"}
	}
	if !ours(info, owner) {
		return &Error{path, "it belongs to another user", "it must belong to the daemon's user: chown tapkeeper FILE"}
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if dir.Mode().Perm()&0o002 != 0 {
		return &Error{path, "everybody may write in its folder", "chmod o-w " + filepath.Dir(path)}
	}
	if !ours(dir, owner) {
		return &Error{path, "its folder belongs to another user", "the folder must belong to root or to the daemon's user"}
	}
	return nil
}

// ours says whether a file belongs to this user, to root or to owner.
func ours(info fs.FileInfo, owner int) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid() || int(st.Uid) == owner
}

// writeWhole makes a file appear under its name with all its bytes, durable, and
// readable by its owner alone.
func writeWhole(path string, b []byte) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write a key: %w", err)
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write a key: %w", err), os.Remove(part))
	}
	return syncDir(path)
}
