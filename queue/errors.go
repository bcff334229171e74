package queue

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("the journal is in use by another process")
	// ErrKey: the master key is not the one this store was made with.
	ErrKey = errors.New("the master key does not open this journal")
	// ErrVersion: the store has a format that this program does not know.
	ErrVersion = errors.New("the journal was written by another version of tapkeeper")
	// ErrFull: too little free space; nothing was written.
	ErrFull = errors.New("too little free space for the journal")
	// ErrDisk: the disk is read-only, or takes no tables; nothing was written. What
	// is there can be read, and commits are taken again when the disk takes them.
	ErrDisk = errors.New("the journal's disk takes nothing")
	// ErrConflict: a guard did not hold, or an entry was not where the commit
	// supposes it; nothing was written. The error is a *ConflictError.
	ErrConflict = errors.New("the journal has changed")
	// ErrUnknown: a write or sync failed. The commit is on the disk or it is
	// not; only opening the store again tells. Until then it does no work.
	ErrUnknown = errors.New("the state of the journal is unknown until it is opened again")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the journal is closed")
)

// ConflictError says which supposition of a commit did not hold.
type ConflictError struct {
	What string // "record", "entry"
	Kind string // of the record
	Key  string // of the record, or the entry's id
	Why  string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: %s %s %s", ErrConflict, e.What, join(e.Kind, e.Key), e.Why)
}

// Unwrap makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// CapError says which counter would exceed its cap; nothing was written.
type CapError struct {
	Name              string
	Value, Delta, Cap int64 // Value is before the commit
}

func (e *CapError) Error() string {
	return fmt.Sprintf("counter %s: %d and %d exceed the cap %d", e.Name, e.Value, e.Delta, e.Cap)
}

// DamageError says what does not fit in a store, and since when.
type DamageError struct {
	What string // "anchor", "key", "database", "event", "record", "counter", "entry", "park"
	Kind string // of the record
	Key  string // of the record, counter or entry; "" when unreadable
	Seq  uint64 // first sequence number known to be hit; 0 when unknown
	Why  string
}

func (e *DamageError) Error() string {
	text := "the journal is damaged: " + e.What
	if name := join(e.Kind, e.Key); name != "" {
		text += " " + name
	}
	if e.Seq != 0 {
		text += fmt.Sprintf(", sequence %d", e.Seq)
	}
	return text + ": " + e.Why
}

func join(kind, key string) string {
	if kind == "" || key == "" {
		return kind + key
	}
	return kind + "/" + key
}
