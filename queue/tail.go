package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
type tail struct {
	dir     string
	file    *os.File
	number  int
	namesAt time.Time // of the directory, when its names were last synced
}

func logPath(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf("%05d.mem", number))
}

// openTail finds the log that an open database writes to.
func openTail(dir string) (*tail, error) {
	files, err := os.ReadDir(dir) // not Glob: dir may hold its special characters
	if err != nil {
		return nil, err
	}
	t := &tail{dir: dir, number: -1}
	for _, f := range files {
		name, isLog := strings.CutSuffix(f.Name(), ".mem")
		if n, err := strconv.Atoi(name); isLog && err == nil {
			t.number = max(t.number, n)
		}
	}
	if t.number < 0 {
		return nil, errors.New("the database has no log")
	}
	t.file, err = os.Open(logPath(dir, t.number))
	return t, err
}

// sync makes the last transaction durable: its bytes, and the name of its log.
func (t *tail) sync() error {
	for {
		next, err := os.Open(logPath(t.dir, t.number+1))
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
		t.file, t.number, t.namesAt = next, t.number+1, time.Time{}
	}
	if err := datasync(t.file); err != nil {
		return fmt.Errorf("sync the database's log: %w", err)
	}
	return t.syncNames()
}

// syncNames makes the names of new files durable; Badger does not.
func (t *tail) syncNames() error {
	at, err := modified(t.dir)
	if err != nil || at.Equal(t.namesAt) {
		return err
	}
	if err := syncPath(t.dir); err != nil {
		return fmt.Errorf("sync the database's directory: %w", err)
	}
	t.namesAt = at
	return nil
}

func (t *tail) close() error {
	if t == nil {
		return nil
	}
	return t.file.Close()
}

func modified(dir string) (time.Time, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at the database's directory: %w", err)
	}
	return info.ModTime(), nil
}
