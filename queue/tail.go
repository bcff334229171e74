package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tail makes Badger's log durable from outside. Badger writes a transaction
// whole into one log, NNNNN.mem, through a memory map, and turns to the next
// number before a transaction, never within one. So after a transaction has
// returned, every byte of it is in the page cache of the log with the highest
// number, and a sync of that file through any descriptor writes it: on Linux a
// sync of a file covers its shared maps. The logs before it were synced when
// they were the last.
//
// The log is a sparse file. A sync that gives blocks to it writes the file system's
// own journal as well, and takes half as long again. So tail writes zeros ahead of
// Badger, many batches at a time, where Badger has not written yet: it is the same
// goroutine, and a batch's bytes in the log have a bound.
type tail struct {
	dir     string
	file    *os.File
	number  int
	namesAt time.Time // of the directory, when its names were last synced

	size   int64 // of the log, which never grows
	used   int64 // Badger has written nothing from here on
	zeroed int64 // here the blocks end that are given to the log already
	last   int64 // bound of the batch that is written next
	zeros  []byte
}

const (
	logHead   = 20  // bytes that Badger puts before the first entry of a log
	cellHead  = 40  // most that it puts around a key and a value: header, version, checksum
	batchHead = 128 // likewise around a transaction

	aheadBytes = 512 << 10 // about two hundred batches of one commit
)

// ahead makes room in the log for a batch, before Badger writes it.
func (t *tail) ahead(batch []cell) error {
	t.last = batchHead
	for _, c := range batch {
		t.last += int64(len(c.key) + len(c.value) + cellHead)
	}
	from := t.used
	t.used += t.last
	if err := t.unused(from); err != nil {
		return err
	}
	if t.zeros == nil {
		t.zeros = make([]byte, aheadBytes)
	}
	for from = max(t.zeroed, (from+pageSize-1)/pageSize*pageSize); from < min(t.used, t.size); {
		to := min(t.size, from+aheadBytes)
		if _, err := t.file.WriteAt(t.zeros[:to-from], from); err != nil {
			return fmt.Errorf("give room to the database's log: %w", err)
		}
		from, t.zeroed = to, to
	}
	return nil
}

// unused makes sure that Badger has written nothing from here on: zeros over
// what it has would be the end of acknowledged payments.
func (t *tail) unused(from int64) error {
	var next [64]byte
	if n, err := t.file.ReadAt(next[:], from); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("look at the database's log: %w", err)
	} else if next != [len(next)]byte{} {
		return fmt.Errorf("the database's log is longer than its batches (%d bytes read at %d)", n, from)
	}
	return nil
}

// begin notes that Badger writes to another log, which holds no more than the
// last batch.
func (t *tail) begin(f *os.File, number int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	t.file, t.number, t.namesAt = f, number, time.Time{}
	t.size, t.used, t.zeroed = info.Size(), logHead+t.last, 0
	return nil
}

func logPath(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf("%05d.mem", number))
}

// logNumbers returns the numbers of Badger's logs, the lowest first.
func logNumbers(dir string) (numbers []int, err error) {
	files, err := os.ReadDir(dir) // not Glob: dir may hold its special characters
	for _, f := range files {
		name, isLog := strings.CutSuffix(f.Name(), ".mem")
		if n, err := strconv.Atoi(name); isLog && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

// openTail finds the log that an open database writes to.
func openTail(dir string) (*tail, error) {
	logs, err := logNumbers(dir)
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 {
		return nil, errors.New("the database has no log")
	}
	t := &tail{dir: dir, number: logs[len(logs)-1]}
	f, err := os.OpenFile(logPath(dir, t.number), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := t.begin(f, t.number); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Badger has just made it. If it did not, nothing is known of where it ends.
	if err := t.unused(logHead); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// sync makes the last transaction durable: its bytes, and the name of its log.
func (t *tail) sync() error {
	for {
		next, err := os.OpenFile(logPath(t.dir, t.number+1), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("open the database's log: %w", err)
		}
		if err := datasync(t.file); err != nil { // it is durable; this tells of a late failure
			return fmt.Errorf("sync the database's log: %w", errors.Join(err, next.Close()))
		}
		if err := t.file.Close(); err != nil {
			return fmt.Errorf("close the database's log: %w", errors.Join(err, next.Close()))
		}
		if err := t.begin(next, t.number+1); err != nil {
			return fmt.Errorf("look at the database's log: %w", err)
		}
	}
	if err := datasync(t.file); err != nil {
		return fmt.Errorf("sync the database's log: %w", err)
	}
	return t.syncNames()
}

// syncNames makes the names of new files durable; Badger does not.
func (t *tail) syncNames() error {
	at, settled, err := modified(t.dir)
	if err != nil || at.Equal(t.namesAt) {
		return err
	}
	if err := syncPath(t.dir); err != nil {
		return fmt.Errorf("sync the database's directory: %w", err)
	}
	if settled {
		t.namesAt = at
	}
	return nil
}

func (t *tail) close() error {
	if t == nil {
		return nil
	}
	return t.file.Close()
}

// Steps of a file system's clock: a directory that changes twice within one has the
// time of the first change. Linux has steps of up to 10 ms; a time in whole seconds
// is of a file system that has no finer ones.
const (
	fineStep   = 20 * time.Millisecond
	coarseStep = 2 * time.Second
)

// modified says when a directory was changed, and whether another change from now
// on must show another time.
func modified(dir string) (at time.Time, settled bool, err error) {
	now := time.Now() // before: a change in between is not settled
	info, err := os.Stat(dir)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("look at the database's directory: %w", err)
	}
	at = info.ModTime()
	step := fineStep
	if at.Nanosecond() == 0 {
		step = coarseStep
	}
	return at, now.Sub(at).Abs() > step, nil
}
