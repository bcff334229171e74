package queue

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// pageOut gives back the memory of the tables that recovery has walked through: they
// are mapped, and would count as this process's for as long as it lives. The advice
// keeps what it hits, so that it does no harm when a map has become something else
// between looking and asking; a kernel before 5.4 does not know it.
func pageOut(dir string) {
	const pageOut = 21 // MADV_PAGEOUT of madvise(2)
	dir, err := filepath.Abs(dir)
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line) // range, mode, offset, device, inode, path
		if len(f) < 6 || !strings.HasPrefix(f[5], dir+"/") || filepath.Ext(f[5]) != ".sst" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && end > start {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(start), uintptr(end-start), pageOut)
		}
	}
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
