package queue

import "io"

// cells is all that the journal wants of a database: Badger in badger.go, the
// simulated disk of queuetest in tests.
type cells interface {
	// Read returns what the last successful Write left; after a failed one, what
	// may be there. It may be called at any time.
	Read() view
	// Write makes all of batch durable, or fails, and then nobody knows how much
	// of it is. The journal writes from one goroutine, and never after a failure.
	Write(batch []cell) error
	// Close makes nothing durable that Write has not.
	Close() error
}

// view is one moment of cells. Close lets it go.
type view interface {
	// Get returns a value of its own, and whether the key is there.
	Get(key []byte) (value []byte, ok bool, err error)
	// Walk calls fn for every key under prefix in their order, or from the last
	// to the first. key and value are fn's only while it runs. An error of fn
	// ends the walk and is returned.
	Walk(prefix []byte, backwards bool, fn func(key, value []byte) error) error
	Close()
}

// cell is one value to write; nil deletes.
type cell struct{ key, value []byte }

// pages is the anchor's file. Sync makes what WriteAt wrote durable; after it
// failed, nobody knows.
type pages interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}
