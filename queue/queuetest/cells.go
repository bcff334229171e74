package queuetest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
)

// Cells is a database as simple as one can be: logs of batches with a length and
// a checksum before each, and all of it in memory. Like Badger it begins a new log
// when it is opened, cuts a log at the first batch that does not fit, and says
// nothing.
type Cells struct {
	log  *File
	live map[string]string // replaced, never changed: a reader keeps what it has
}

// OpenCells reads the logs on a disk and begins a new one.
func OpenCells(d *Disk) *Cells {
	c := &Cells{live: make(map[string]string)}
	number := 0
	for ; d.Has(logName(number)); number++ {
		f := d.Open(logName(number))
		b := make([]byte, f.Size())
		if _, err := f.ReadAt(b, 0); err != nil {
			continue // empty
		}
		at := 0
		for n, ok := c.replay(b); ok; n, ok = c.replay(b[at:]) {
			at += n
		}
		f.Truncate(at)
	}
	c.log = d.Open(logName(number))
	return c
}

func logName(number int) string { return fmt.Sprint("log-", number) }

const head = 8 // length and checksum

func (c *Cells) replay(b []byte) (n int, ok bool) {
	if len(b) < head {
		return 0, false
	}
	size := int(binary.BigEndian.Uint32(b))
	if size == 0 || size > len(b)-head || crc32.ChecksumIEEE(b[head:head+size]) != binary.BigEndian.Uint32(b[4:]) {
		return 0, false
	}
	for rest := b[head : head+size]; len(rest) > 0; {
		key := take(&rest)
		if gone := rest[0] == 0; gone {
			rest = rest[1:]
			delete(c.live, key)
		} else {
			rest = rest[1:]
			c.live[key] = take(&rest)
		}
	}
	return head + size, true
}

func take(b *[]byte) string {
	n, used := binary.Uvarint(*b)
	s := string((*b)[used : used+int(n)])
	*b = (*b)[used+int(n):]
	return s
}

// Write appends a batch and syncs the log; no value deletes.
func (c *Cells) Write(keys, values [][]byte) error {
	b := make([]byte, head)
	next := maps.Clone(c.live)
	for i, key := range keys {
		b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
		if values[i] == nil {
			b = append(b, 0)
			delete(next, string(key))
			continue
		}
		b = append(binary.AppendUvarint(append(b, 1), uint64(len(values[i]))), values[i]...)
		next[string(key)] = string(values[i])
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-head))
	binary.BigEndian.PutUint32(b[4:], crc32.ChecksumIEEE(b[head:]))
	if _, err := c.log.WriteAt(b, int64(c.log.Size())); err != nil {
		return err
	}
	c.live = next
	return c.log.Sync()
}

// Read returns the database as it is now.
func (c *Cells) Read() View { return View{c.live} }

// View is a database as it was.
type View struct{ live map[string]string }

// Get returns a value, and whether it is there.
func (v View) Get(key []byte) ([]byte, bool, error) {
	value, ok := v.live[string(key)]
	return []byte(value), ok, nil
}

// Walk calls fn for the keys under prefix in their order, or backwards.
func (v View) Walk(prefix []byte, backwards bool, fn func(key, value []byte) error) error {
	var keys []string
	for key := range v.live {
		if strings.HasPrefix(key, string(prefix)) {
			keys = append(keys, key)
		}
	}
	if slices.Sort(keys); backwards {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		if err := fn([]byte(key), []byte(v.live[key])); err != nil {
			return err
		}
	}
	return nil
}

// Close does nothing: a view holds nothing back.
func (v View) Close() {}
