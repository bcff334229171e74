package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Badger writes through memory maps of sparse files: on a full disk it is
// killed by SIGBUS, at every later open too. So nothing is written unless there
// is room for all that Badger may write before it frees anything: its logs and
// fresh tables, and what a compaction writes anew before it removes the old.
//
// There are two lines. Above need everything is taken, the ballast first. Between need and reserve
// nothing new is: only what brings a payment to its end (Commit.ends). Below
// reserve nothing is, but before that the ballast is given up: a file that holds
// as much room as the reserve, so that a journal on a disk that somebody else
// has filled still opens, settles what it holds and takes it off the disk.
const (
	// Of a reserve of one table the free space was seen to fall to nothing, of
	// four to 1.6 tables: 2.4 were used.
	minFree    = 4 * memTableSize
	minReserve = 2 * memTableSize // one log and one fresh table, and nothing new comes
	minSlack   = memTableSize     // that the tables grow by between the last commit and the next opening
	// maxCompaction bounds what a compaction writes anew: at worst every table,
	// but of a large journal only the tables of two levels that overlap, eight of
	// level 0 with those of the base level, and a deeper one beside it.
	maxCompaction = 256 << 20

	ballastName = "ballast"
)

// Disk is what a store knows of the room it has.
type Disk struct {
	Free    uint64 // bytes that the journal may still take
	Need    uint64 // below this nothing new is taken
	Full    bool   // nothing new is taken now
	Why     error  // ErrDisk, and Full, when it is not for want of room
	Ballast bool   // the reserve is set aside; it is given up to settle what is left
}

// space judges the room on the disk.
type space struct {
	dir, database string
	free          func(dir string) (uint64, error)
	reserve       func(f *os.File, size int64) error
	takes         []func() error // each says why the disk takes nothing, if it takes nothing

	mu       sync.Mutex
	tables   uint64    // bytes of Badger's tables
	tablesAt time.Time // of the directory, when they were last measured
	ballast  uint64    // bytes of the ballast; 0: given up
}

func newSpace(dir, database string) (*space, error) {
	p := &space{dir: dir, database: database, free: freeBytes, reserve: reserveBytes}
	info, err := os.Stat(filepath.Join(dir, ballastName))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the ballast: %w", err)
	}
	p.ballast = uint64(info.Size())
	return p, nil
}

// admit refuses with ErrFull what there is no room for. It gives up and takes
// back the ballast.
func (p *space) admit(ends bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, takes := range p.takes {
		if err := takes(); err != nil {
			return err
		}
	}
	d, reserve, err := p.measure()
	if err != nil {
		return err
	}
	if d.Free < reserve && p.ballast > 0 {
		if err := p.giveUp(); err != nil {
			return err
		}
		if d, reserve, err = p.measure(); err != nil {
			return err
		}
	}
	least := d.Need
	if ends {
		least = reserve
	}
	if d.Free < least {
		return fmt.Errorf("%w: %d MiB free, %d MiB needed", ErrFull, d.Free>>20, least>>20+1)
	}
	if p.ballast < reserve+minSlack && !ends {
		return p.takeBallast(reserve + 2*minSlack)
	}
	return nil
}

// state is for the eyes of a person.
func (p *space) state() (Disk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, takes := range p.takes {
		if err := takes(); err != nil {
			return Disk{Full: true, Why: err}, nil
		}
	}
	d, _, err := p.measure()
	if errors.Is(err, ErrDisk) {
		return Disk{Full: true, Why: err}, nil
	}
	return d, err
}

func (p *space) measure() (d Disk, reserve uint64, err error) {
	if err := p.measureTables(); err != nil {
		return Disk{}, 0, fmt.Errorf("measure the database: %w", err)
	}
	if d.Free, err = p.free(p.dir); err != nil {
		return Disk{}, 0, err
	}
	again := min(p.tables, maxCompaction)
	reserve = minReserve + again
	d.Need, d.Ballast = minFree+again, p.ballast > 0
	if p.ballast < reserve+minSlack { // it comes first
		d.Need += reserve + 2*minSlack - p.ballast
	}
	d.Full = d.Free < d.Need
	return d, reserve, nil
}

// measureTables looks again when the directory has changed.
func (p *space) measureTables() error {
	at, settled, err := modified(p.database)
	if errors.Is(err, fs.ErrNotExist) || err == nil && at.Equal(p.tablesAt) {
		return nil
	}
	if err == nil {
		p.tables, err = tableBytes(p.database)
	}
	if p.tablesAt = at; !settled || err != nil {
		p.tablesAt = time.Time{}
	}
	return err
}

func (p *space) giveUp() error {
	if err := os.Remove(filepath.Join(p.dir, ballastName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give up the ballast: %w", err)
	}
	p.ballast = 0
	return nil
}

// takeBallast makes the ballast, or makes it larger.
func (p *space) takeBallast(size uint64) error {
	f, err := os.OpenFile(filepath.Join(p.dir, ballastName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make the ballast: %w", err)
	}
	err = p.reserve(f, int64(size))
	if errors.Is(err, errors.ErrUnsupported) { // ENOSYS and EOPNOTSUPP: not by this file system
		err = fill(f, int64(size))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("%w: make the ballast: %w", ErrFull, err), p.giveUp())
	}
	p.ballast = size
	return nil
}

// fill sets room aside by writing it.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at); err != nil {
			return err
		}
	}
	return nil
}

// tableBytes is the size of Badger's tables.
func tableBytes(dir string) (sum uint64, err error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".sst" {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // a compaction has removed it
		}
		if err != nil {
			return 0, err
		}
		sum += uint64(info.Size())
	}
	return sum, err
}
