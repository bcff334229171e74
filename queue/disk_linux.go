package queue

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// datasync makes the bytes of a file durable, whoever wrote them and how.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// reserveBytes makes a file of that size with room on the disk behind it.
func reserveBytes(f *os.File, size int64) error {
	return syscall.Fallocate(int(f.Fd()), 0, 0, size)
}

// forgetPages lets go of the pages of tables that recovery has read: they are
// mapped, and would count as this process's memory for as long as it lives. What
// is read again comes from the page cache. It is an economy; failing costs nothing.
func forgetPages(dir string) {
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
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(start), uintptr(end-start), syscall.MADV_DONTNEED)
		}
	}
}
