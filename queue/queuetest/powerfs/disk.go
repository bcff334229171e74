// Package powerfs is a disk in memory that a real program uses through FUSE, and
// from which the power can be taken: what was not synced is lost, or some of it.
//
// The fault model. A file has what programs see and what the disk holds. The
// kernel's page cache stands above: what a program stores through a memory map
// comes here when the kernel writes the page back, at the latest with an msync or
// fsync, which both arrive as one FSYNC. A page (4096 bytes) that was written is
// durable when a later sync of its file has returned.
//
// Names and sizes are durable in the order in which they changed, as a file
// system with one journal keeps them (ext4, XFS): a sync of a file or directory
// makes durable all such changes up to the last one of that file or directory, and
// no later one. So a sync of a file's bytes alone does not make its name durable
// when the name changed later, and a rename lasts only when its directory was synced.
//
// When the power goes, at any request of the kernel, every later request fails and
// the file system is dead. Then a seed decides what else has survived: of the
// changes of names and sizes that were not durable a beginning; of each page that
// was not, nothing, the whole, or any of its sectors of 512 bytes (Survival).
//
// A sync that fails with EIO makes nothing durable, and as in Linux its pages
// count as clean from then on: they are seen, and no later sync brings them to the
// disk. Read-only means that every change and sync is refused with EROFS.
//
// It does not model a disk that lies about syncs, a file system that does not keep
// names in order, or one that loses a page which was durable before.
package powerfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

type page = [pageSize]byte

// Disk is what stays when a mount goes. Of its methods only those of this file
// may be called while it is mounted, and they may be called at any time.
type Disk struct {
	mu      sync.Mutex
	size    int64 // what Statfs tells
	used    int64 // pages seen
	root    *node
	journal []change // of names and sizes, that are not durable
	first   uint64   // number of journal[0]

	dead     bool
	cut      chan struct{} // closed when the power goes
	requests int           // writes, syncs and changes of names and sizes since Arm
	syncs    int           // likewise
	cutAt    int           // the request at which the power goes; 0: none
	failSync int           // the sync that fails; 0: none
	readOnly bool
}

// node is a file or a directory.
type node struct {
	dir    bool
	mode   uint32
	mtime  time.Time
	last   uint64 // number of its last change in the journal; 0: none
	names  map[string]*node
	held   map[string]*node // the durable names
	pages  map[int64]*page  // what is seen; a page is shared with hold until it is changed
	hold   map[int64]*page  // what is durable
	dirty  map[int64]bool   // to be written by the next sync
	size   int64
	length int64 // the durable size
}

func newNode(dir bool, mode uint32) *node {
	n := &node{dir: dir, mode: mode, mtime: time.Now()}
	if dir {
		n.names, n.held = make(map[string]*node), make(map[string]*node)
	} else {
		n.pages, n.hold, n.dirty = make(map[int64]*page), make(map[int64]*page), make(map[int64]bool)
	}
	return n
}

// change is one line of the journal: a name of a directory that stands for
// another node or for none, or the size of a file. A rename is one change.
type change struct {
	in    *node
	names map[string]*node // nil: gone
	to    *node            // the other directory of a rename
	also  map[string]*node // its names
	size  int64
}

// NewDisk makes an empty disk of so many bytes.
func NewDisk(size int64) *Disk {
	return &Disk{size: size, root: newNode(true, 0o700), first: 1, cut: make(chan struct{})}
}

// Arm begins to count, and lets the power go at the request of that number; 0:
// never by itself.
func (d *Disk) Arm(cutAt int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests, d.syncs, d.cutAt = 0, 0, cutAt
}

// FailSync lets the sync of that number after Arm fail; 0: none.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failSync = n
}

// ReadOnly refuses every change, or takes them again.
func (d *Disk) ReadOnly(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readOnly = on
}

// Counts returns how many requests and syncs there were since Arm.
func (d *Disk) Counts() (requests, syncs int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.requests, d.syncs
}

// Dead is closed when the power goes.
func (d *Disk) Dead() <-chan struct{} { return d.cut }

// Cut takes the power away now.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
}

func (d *Disk) kill() {
	if !d.dead {
		d.dead = true
		close(d.cut)
	}
}

// Survival says what a power cut leaves of pages that were not durable.
type Survival int

// Kinds of survival. Whatever it is, names and sizes survive up to a point that
// the seed decides.
const (
	Nothing Survival = iota // of no page that was not synced
	Pages                   // each page as it was, or as it was to be
	Sectors                 // each sector likewise: pages are torn
	Everything
	Survivals = iota
)

// Settle gives the power back to a disk that is not mounted any more: from now on
// it shows what has survived.
func (d *Disk) Settle(random *rand.Rand, s Survival) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replay(d.first + uint64(random.IntN(len(d.journal)+1)) - 1)
	d.journal, d.first = nil, 1
	d.used = 0
	d.settle(d.root, random, s)
	d.dead, d.cut, d.cutAt, d.failSync, d.readOnly = false, make(chan struct{}), 0, 0, false
}

func (d *Disk) settle(n *node, random *rand.Rand, s Survival) {
	n.last = 0
	if n.dir {
		n.names = maps.Clone(n.held)
		for _, name := range slices.Sorted(maps.Keys(n.names)) { // in order: one seed, one outcome
			d.settle(n.names[name], random, s)
		}
		return
	}
	for _, i := range slices.Sorted(maps.Keys(n.pages)) {
		if old, seen := n.hold[i], n.pages[i]; old != seen {
			n.hold[i] = survivor(old, seen, random, s)
		}
	}
	n.size = n.length
	cutPages(n.hold, n.size)
	n.pages, n.dirty = maps.Clone(n.hold), make(map[int64]bool)
	d.used += int64(len(n.pages)) * pageSize
}

func survivor(old, seen *page, random *rand.Rand, s Survival) *page {
	if old == nil {
		old = new(page)
	}
	switch {
	case s == Everything || s == Pages && random.IntN(2) == 0:
		return seen
	case s != Sectors:
		return old
	}
	torn := *old
	for at := 0; at < pageSize; at += sectorSize {
		if random.IntN(2) == 0 {
			copy(torn[at:at+sectorSize], seen[at:])
		}
	}
	return &torn
}

// note puts a change into the journal.
func (d *Disk) note(c change) {
	d.journal = append(d.journal, c)
	number := d.first + uint64(len(d.journal)) - 1
	c.in.last = number
	if c.to != nil {
		c.to.last = number
	}
	for _, n := range c.names {
		if n != nil {
			n.last = number
		}
	}
}

// replay makes the changes up to a number durable.
func (d *Disk) replay(to uint64) {
	for len(d.journal) > 0 && d.first <= to {
		c := d.journal[0]
		d.journal, d.first = d.journal[1:], d.first+1
		switch {
		case c.names == nil:
			c.in.length = c.size
			cutPages(c.in.hold, c.size)
		default:
			rename(c.in.held, c.names)
			if c.to != nil {
				rename(c.to.held, c.also)
			}
		}
	}
}

func rename(held, names map[string]*node) {
	for name, n := range names {
		if held[name] = n; n == nil {
			delete(held, name)
		}
	}
}

// cutPages drops what lies behind a file's end.
func cutPages(pages map[int64]*page, size int64) {
	for i, p := range pages {
		switch from := i * pageSize; {
		case from >= size:
			delete(pages, i)
		case from+pageSize > size:
			q := *p
			clear(q[size-from:])
			pages[i] = &q
		}
	}
}

// sync makes a file's pages, and the changes up to its last one, durable.
func (d *Disk) sync(n *node) {
	d.replay(n.last)
	for i := range n.dirty {
		n.hold[i] = n.pages[i]
	}
	clear(n.dirty)
}
