package powerfs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// attrAge is how long the kernel may believe what it was told: nothing changes a
// file but the kernel itself.
const attrAge = time.Hour

// Mount shows the disk in a directory. The program that mounts it must not touch
// what it shows: a page fault of its own would wait for itself.
func (d *Disk) Mount(dir string) (unmount func() error, err error) {
	age := time.Duration(attrAge)
	server, err := fs.Mount(dir, &handle{disk: d, node: d.root}, &fs.Options{
		EntryTimeout: &age, AttrTimeout: &age,
		MountOptions: fuse.MountOptions{
			FsName: "powerfs", Name: "powerfs", DirectMount: true, MaxWrite: 1 << 20,
			DisableXAttrs: true, DisableReadDirPlus: true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("mount the file system: %w", err)
	}
	return server.Unmount, nil
}

// handle is a node as the kernel knows it.
type handle struct {
	fs.Inode
	disk *Disk
	node *node
}

var (
	_ fs.NodeOnAdder    = (*handle)(nil)
	_ fs.NodeCreater    = (*handle)(nil)
	_ fs.NodeMkdirer    = (*handle)(nil)
	_ fs.NodeUnlinker   = (*handle)(nil)
	_ fs.NodeRmdirer    = (*handle)(nil)
	_ fs.NodeRenamer    = (*handle)(nil)
	_ fs.NodeGetattrer  = (*handle)(nil)
	_ fs.NodeSetattrer  = (*handle)(nil)
	_ fs.NodeOpener     = (*handle)(nil)
	_ fs.NodeReader     = (*handle)(nil)
	_ fs.NodeWriter     = (*handle)(nil)
	_ fs.NodeFsyncer    = (*handle)(nil)
	_ fs.NodeFlusher    = (*handle)(nil)
	_ fs.NodeAllocater  = (*handle)(nil)
	_ fs.NodeStatfser   = (*handle)(nil)
	_ fs.NodeOpendirer  = (*handle)(nil)
	_ fs.NodeAccesser   = (*handle)(nil)
	_ fs.InodeEmbedder  = (*handle)(nil)
	_ fs.NodeGetxattrer = (*handle)(nil)
)

// OnAdd shows what the disk holds already.
func (h *handle) OnAdd(ctx context.Context) {
	for _, name := range slices.Sorted(maps.Keys(h.node.names)) {
		h.AddChild(name, h.child(ctx, h.node.names[name]), true)
	}
}

func (h *handle) child(ctx context.Context, n *node) *fs.Inode {
	mode := uint32(syscall.S_IFREG)
	if n.dir {
		mode = syscall.S_IFDIR
	}
	return h.NewPersistentInode(ctx, &handle{disk: h.disk, node: n}, fs.StableAttr{Mode: mode})
}

// change runs fn under the lock when the power is on and the disk takes changes,
// and takes the power away when it is time.
func (h *handle) change(fn func(d *Disk) syscall.Errno) syscall.Errno {
	d := h.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.requests++; d.requests == d.cutAt {
		d.kill()
	}
	switch {
	case d.dead:
		return syscall.EIO
	case d.readOnly:
		return syscall.EROFS
	}
	return fn(d)
}

// Create makes a file.
func (h *handle) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, errno := h.make(ctx, name, newNode(false, mode&0o777), out)
	return inode, nil, fuse.FOPEN_KEEP_CACHE, errno
}

// Mkdir makes a directory.
func (h *handle) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return h.make(ctx, name, newNode(true, mode&0o777), out)
}

func (h *handle) make(ctx context.Context, name string, n *node, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = h.change(func(d *Disk) syscall.Errno {
		h.node.names[name], h.node.mtime = n, time.Now()
		d.note(change{in: h.node, names: map[string]*node{name: n}})
		n.attr(&out.Attr)
		return 0
	})
	if errno != 0 {
		return nil, errno
	}
	return h.child(ctx, n), 0
}

// Unlink removes a file's name.
func (h *handle) Unlink(_ context.Context, name string) syscall.Errno {
	return h.change(func(d *Disk) syscall.Errno {
		delete(h.node.names, name)
		h.node.mtime = time.Now()
		d.note(change{in: h.node, names: map[string]*node{name: nil}})
		return 0
	})
}

// Rmdir removes an empty directory.
func (h *handle) Rmdir(ctx context.Context, name string) syscall.Errno {
	if n := h.node.names[name]; n != nil && len(n.names) > 0 {
		return syscall.ENOTEMPTY
	}
	return h.Unlink(ctx, name)
}

// Rename moves a name, over another one or not.
func (h *handle) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*handle)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	return h.change(func(d *Disk) syscall.Errno {
		n := h.node.names[name]
		delete(h.node.names, name)
		to.node.names[newName] = n
		h.node.mtime, to.node.mtime = time.Now(), time.Now()
		d.note(change{in: h.node, names: map[string]*node{name: nil}, to: to.node, also: map[string]*node{newName: n}})
		n.last = h.node.last
		return 0
	})
}

// Getattr tells size and time.
func (h *handle) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.node.attr(&out.Attr)
	return 0
}

func (n *node) attr(out *fuse.Attr) {
	out.Mode, out.Size, out.Nlink, out.Blksize = n.mode|syscall.S_IFREG, uint64(n.size), 1, pageSize
	out.Blocks = uint64(len(n.pages)) * pageSize / sectorSize
	if n.dir {
		out.Mode = n.mode | syscall.S_IFDIR
	}
	out.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}

// Setattr changes a file's size; modes and times are nobody's concern.
func (h *handle) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok && !h.node.dir {
		if errno := h.change(func(d *Disk) syscall.Errno { return d.resize(h.node, int64(size)) }); errno != 0 {
			return errno
		}
	}
	return h.Getattr(ctx, f, out)
}

func (d *Disk) resize(n *node, size int64) syscall.Errno {
	if size == n.size {
		return 0
	}
	d.note(change{in: n, size: size})
	before := len(n.pages)
	cutPages(n.pages, size)
	d.used -= int64(before-len(n.pages)) * pageSize
	for i := range n.dirty {
		if n.pages[i] == nil {
			delete(n.dirty, i)
		}
	}
	if last := size / pageSize; size < n.size && n.pages[last] != nil { // its end was cleared
		n.dirty[last] = true
	}
	n.size, n.mtime = size, time.Now()
	return 0
}

// Open keeps the kernel's pages: another descriptor of the same file must not
// drop what a map has written.
func (h *handle) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Opendir lets every directory be opened, as syncing it wants.
func (h *handle) Opendir(context.Context) syscall.Errno { return 0 }

// Access is the kernel's business.
func (h *handle) Access(context.Context, uint32) syscall.Errno { return 0 }

// Getxattr has none.
func (h *handle) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.ENODATA
}

// Read reads what is seen.
func (h *handle) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d := h.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	return fuse.ReadResultData(dest[:h.node.read(dest, off)]), 0
}

// read fills b from what is seen, and says how much there was.
func (n *node) read(b []byte, off int64) int {
	count := int(max(0, min(int64(len(b)), n.size-off)))
	for at := 0; at < count; {
		i, in := (off+int64(at))/pageSize, (off+int64(at))%pageSize
		part := b[at:min(count, at+int(pageSize-in))]
		if p := n.pages[i]; p != nil {
			copy(part, p[in:])
		} else {
			clear(part)
		}
		at += len(part)
	}
	return count
}

// Write changes what is seen.
func (h *handle) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	errno := h.change(func(d *Disk) syscall.Errno { return d.write(h.node, data, off) })
	if errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}

func (d *Disk) write(n *node, data []byte, off int64) syscall.Errno {
	if end := off + int64(len(data)); end > n.size {
		d.note(change{in: n, size: end})
		n.size = end
	}
	n.mtime = time.Now()
	for len(data) > 0 {
		i, in := off/pageSize, off%pageSize
		next := new(page)
		if p := n.pages[i]; p != nil {
			*next = *p
		} else if d.used += pageSize; d.used > d.size {
			d.used -= pageSize
			return syscall.ENOSPC
		}
		took := copy(next[in:], data)
		n.pages[i], n.dirty[i] = next, true
		data, off = data[took:], off+int64(took)
	}
	return 0
}

// Fsync is fsync, fdatasync and msync, of a file or a directory.
func (h *handle) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return h.change(func(d *Disk) syscall.Errno {
		if d.syncs++; d.syncs == d.failSync {
			clear(h.node.dirty)
			return syscall.EIO
		}
		d.sync(h.node)
		return 0
	})
}

// Flush is a close; it makes nothing durable.
func (h *handle) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

// Allocate makes a file larger. The room is not set aside: this disk is large.
func (h *handle) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, _ uint32) syscall.Errno {
	return h.change(func(d *Disk) syscall.Errno {
		return d.resize(h.node, max(h.node.size, int64(off+size)))
	})
}

// Statfs tells the room.
func (h *handle) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	free := uint64(max(0, h.disk.size-h.disk.used)) / pageSize
	out.Bsize, out.Frsize, out.NameLen = pageSize, pageSize, 255
	out.Blocks, out.Bfree, out.Bavail = uint64(h.disk.size)/pageSize, free, free
	return 0
}
