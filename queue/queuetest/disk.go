// Package queuetest is a disk that fails under a seed, and a small database on it.
//
// The fault model. A file has what programs see (the page cache) and what the
// disk holds. A write changes what is seen. A sync brings the disk to what is
// seen, unless it fails. When the power goes, each sector that differs comes back
// as it was, as it was to be, or torn: the beginning new, the rest old. The disk
// may also have written a sector long before any sync. After a sync that failed
// the system takes the changes for written: they are seen, no later sync brings
// them to the disk, and a power cut decides what is there. Writes and syncs fail
// with ENOSPC and EIO; a write that fails may have done its first half.
//
// It does not model a disk that lies about syncs or rots; other tests do.
package queuetest

import (
	"io"
	"math/rand/v2"
	"syscall"
)

// sector is what a disk writes whole or torn; small, so that tears are common.
const sector = 64

// Disk is a set of files under one seed. It is not for concurrent use.
type Disk struct {
	random *rand.Rand
	files  map[string]*File

	// FailIn makes the write or sync after that many others fail; below zero
	// none does. It counts down to below zero.
	FailIn int
	// Failures counts those that did.
	Failures int
	// Lie makes every sync do nothing and say that it did: the planted fault
	// that a test must find.
	Lie bool
}

// NewDisk makes an empty disk.
func NewDisk(seed uint64) *Disk {
	return &Disk{random: rand.New(rand.NewPCG(seed, 7)), files: make(map[string]*File), FailIn: -1}
}

// Has says whether a file is there.
func (d *Disk) Has(name string) bool { return d.files[name] != nil }

// Open returns a file, a new one when there is none of that name. A new file's
// name is durable at once: what is made is made whole by renaming.
func (d *Disk) Open(name string) *File {
	f := d.files[name]
	if f == nil {
		f = &File{disk: d}
		d.files[name] = f
	}
	return f
}

// fails says whether this write or sync fails, and how.
func (d *Disk) fails() error {
	d.FailIn--
	if d.FailIn != -1 {
		d.FailIn = max(d.FailIn, -2)
		return nil
	}
	d.Failures++
	if d.random.IntN(2) == 0 {
		return syscall.ENOSPC
	}
	return syscall.EIO
}

// Cut takes the power away and gives it back: what the disk holds is what is
// seen from now on. Nothing fails until FailIn is set again.
func (d *Disk) Cut() {
	d.FailIn = -1
	for _, f := range d.files {
		f.cut()
	}
}

// File is one file of a Disk.
type File struct {
	disk       *Disk
	seen, held []byte
	lost       map[int]bool // sectors that a failed sync has forgotten
}

var (
	_ io.ReaderAt = (*File)(nil)
	_ io.WriterAt = (*File)(nil)
)

// Size is how many bytes are seen.
func (f *File) Size() int { return len(f.seen) }

// ReadAt reads what is seen.
func (f *File) ReadAt(b []byte, at int64) (int, error) {
	if at >= int64(len(f.seen)) {
		return 0, io.EOF
	}
	n := copy(b, f.seen[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt changes what is seen.
func (f *File) WriteAt(b []byte, at int64) (int, error) {
	err := f.disk.fails()
	if err != nil {
		b = b[:len(b)/2]
	}
	if end := int(at) + len(b); end > len(f.seen) {
		f.seen = append(f.seen, make([]byte, end-len(f.seen))...)
	}
	copy(f.seen[at:], b)
	if len(b) > 0 {
		for s := int(at) / sector; s <= (int(at)+len(b)-1)/sector; s++ {
			delete(f.lost, s) // changed again: the next sync writes it
		}
	}
	return len(b), err
}

// Truncate cuts what is seen.
func (f *File) Truncate(size int) { f.seen = f.seen[:size] }

// Sync makes the disk hold what is seen.
func (f *File) Sync() error {
	if err := f.disk.fails(); err != nil {
		f.forget()
		return err
	}
	if f.disk.Lie {
		return nil
	}
	old := f.held
	f.held = append([]byte(nil), f.seen...)
	for s := range f.lost { // stays as a power cut will find it
		from, to := s*sector, min((s+1)*sector, len(f.held))
		for i := from; i < to; i++ {
			f.held[i] = 0
			if i < len(old) {
				f.held[i] = old[i]
			}
		}
	}
	return nil
}

// forget marks what a failed sync did not write.
func (f *File) forget() {
	if f.lost == nil {
		f.lost = make(map[int]bool)
	}
	for s := 0; s*sector < len(f.seen); s++ {
		if !equal(f.seen, f.held, s) {
			f.lost[s] = true
		}
	}
}

func (f *File) cut() {
	size := len(f.seen)
	if len(f.held) != size && f.disk.random.IntN(2) == 0 { // the length is a sector of its own
		size = len(f.held)
	}
	after := make([]byte, size)
	for s := 0; s*sector < size; s++ {
		from, to := s*sector, min((s+1)*sector, size)
		switch f.disk.random.IntN(3) {
		case 0:
			copyRange(after, f.held, from, to)
		case 1:
			copyRange(after, f.seen, from, to)
		default:
			torn := from + f.disk.random.IntN(to-from+1)
			copyRange(after, f.seen, from, torn)
			copyRange(after, f.held, torn, to)
		}
	}
	f.seen, f.held, f.lost = after, append([]byte(nil), after...), nil
}

func copyRange(dst, src []byte, from, to int) {
	if from < len(src) {
		copy(dst[from:to], src[from:min(to, len(src))])
	}
}

func equal(a, b []byte, s int) bool {
	part := func(x []byte) string {
		return string(x[min(s*sector, len(x)):min((s+1)*sector, len(x))])
	}
	return part(a) == part(b)
}
