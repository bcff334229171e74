package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// flushes knows whether Badger can write its tables. Badger tells of a failure in
// its log only, tries again for ever, and when two more logs are full it lets a
// commit wait for ever as well. So nothing is handed to it while a table fails.
// When its manifest could not be changed it works on beside the one on the disk, and
// may never merge tables again: the store must be opened anew, which mends that.
type flushes struct {
	dir string

	mu      sync.Mutex
	lost    string // what a change of the manifest died of; "": none has
	failed  string // what the last one died of; "": nothing has failed
	waiting int    // number of the log whose table it was; it is removed when its table is written
	wait    time.Duration
	closed  chan struct{}
}

// A table that failed stays on the disk, and Badger begins another one each time:
// it is made to wait longer and longer.
const (
	leastFlushWait = time.Second
	mostFlushWait  = time.Minute

	flushFailure = "error flushing memtable to disk" // how Badger begins to say so
)

func newFlushes(dir string) *flushes { return &flushes{dir: dir, closed: make(chan struct{})} }

// hear is called by Badger with all that it has to say, from the goroutine that
// says it.
func (f *flushes) hear(text string) {
	if strings.Contains(text, badger.ManifestFilename) {
		f.mu.Lock()
		f.lost = text
		f.mu.Unlock()
	}
	if !strings.HasPrefix(text, flushFailure) {
		return
	}
	logs, err := logNumbers(f.dir)
	if err != nil || len(logs) == 0 {
		return
	}
	f.mu.Lock()
	if f.failed == "" || f.waiting != logs[0] {
		f.wait = 0
	}
	f.failed, f.waiting = firstLine(text), logs[0] // tables are written in the order of their logs
	wait := f.wait
	f.wait = min(max(leastFlushWait, 2*f.wait), mostFlushWait)
	f.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-f.closed:
	}
}

// check says why Badger must not be given more, if it must not.
func (f *flushes) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost != "" {
		return fmt.Errorf("%w: %s", ErrUnknown, f.lost)
	}
	if f.failed == "" {
		return nil
	}
	if _, err := os.Stat(logPath(f.dir, f.waiting)); errors.Is(err, fs.ErrNotExist) {
		f.failed, f.wait = "", 0
		return nil
	}
	return fmt.Errorf("%w: %s", ErrDisk, f.failed)
}

func (f *flushes) close() { close(f.closed) }
