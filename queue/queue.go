// Package queue is the journal and the outbox of one terminal: what Commit
// acknowledged is on disk, sealed, numbered, chained, and complete.
//
// A commit is atomic: its guards, records, event, outbox entries and counters
// all hold, or none does. It returns after its own bytes are durable. Sequence
// numbers have no gap and start at 1; every event carries the hash of the one
// before. Values are sealed with AES-256-GCM, and so are the names of records,
// counters and entries; only kinds of records are readable on the disk.
//
// The package refuses to guess. Damage is reported with what it hits and is
// never repaired by leaving something out; a failed sync makes the store say
// ErrUnknown until it is opened again; a nearly full disk refuses commits
// before Badger would be killed by it. There is no switch for less durability.
//
// docs/durability.md has the byte layout, the recovery and the fault model.
package queue

import "context"

// Options say where a store is and what opens it.
type Options struct {
	// Dir is the store's own directory; it is made (0700) when absent. Its
	// parent must exist.
	Dir string
	// Master is the 32-byte key that wraps the store's data key. Open copies
	// nothing of it: the caller may wipe it afterwards.
	Master []byte
	// Logger gets what Badger has to say (warnings and errors) and the
	// healing of an anchor slot. The zero Logger is silent.
	Logger Logger
}

// Logger is the part of a logger that a store uses. Messages hold no keys,
// values, or names of records.
type Logger interface {
	Warn(text string)
}

// Commit is one atomic change. Every commit has an event.
type Commit struct {
	Guards  []Guard
	Records []Record
	Event   []byte   // what happened; not empty
	Entries []Entry  // into the outbox, in this order
	Done    []string // entry ids that leave the outbox; each must be there
	Park    []Park   // entries set aside; each must be there
	Release []string // parked entries that wait again, at their old place; each must be parked
	Counts  []Count
}

// Record is a value under a kind and a key. Kinds are short words and stay
// readable on the disk; keys are hidden.
type Record struct {
	Kind, Key string
	Value     []byte // nil deletes
}

// Guard holds a commit to what its caller has read.
type Guard struct {
	Kind, Key string
	Value     []byte // must be equal; nil: the record must be absent
}

// Entry is a message for the outbox. Seal makes its body inside the commit,
// from the commit's sequence number; the bytes are stored once and are resent
// as they are. Seal runs in the committer and holds up every other commit:
// sign, do not wait. It is called after every guard and cap has passed.
type Entry struct {
	ID    string // unique among the entries of the outbox
	Group string // entries of one group leave in order; "" is no group
	Kind  string
	Seal  func(seq uint64) ([]byte, error)
}

// Park sets an entry aside with its reason.
type Park struct {
	ID     string
	Reason string
}

// Count changes a counter. The commit fails with a *CapError when Delta is
// positive and the counter would exceed Cap.
type Count struct {
	Name  string
	Delta int64
	Cap   int64 // 0: no cap
}

// Committed says where a commit stands in the journal.
type Committed struct {
	Seq  uint64
	Hash [32]byte
}

// Event is one link of the chain.
type Event struct {
	Seq     uint64
	Payload []byte
	Hash    [32]byte // of this event
	Prev    [32]byte // of the one before; zero for the first
}

// Stored is an entry of the outbox as it was committed.
type Stored struct {
	ID, Group, Kind string
	Seq             uint64 // of the commit that brought it
	Body            []byte
	Reason          string // why it is parked; "" when it waits
}

// Report is what Verify has walked through.
type Report struct {
	Head                               Committed
	Records, Counters, Waiting, Parked int
	// Healed names faults that were found and mended without loss when the
	// store was opened: one of two anchor slots did not verify.
	Healed []string
}

// Store is an open journal. Its methods may be called concurrently.
type Store struct{ changed chan struct{} }

// Open opens or makes the store in o.Dir. It fails with ErrLocked when another
// process holds it, ErrKey when o.Master does not open it, ErrFull when the disk
// is too full to open it safely, and *DamageError when anything that was
// acknowledged is missing or does not fit.
func Open(o Options) (*Store, error) { return nil, errNotYet }

// Commit makes c durable and returns its place in the journal. Once handed to
// the committer it is waited for, whatever becomes of ctx: a caller must learn
// the truth. Errors: *ConflictError (errors.Is ErrConflict), *CapError, ErrFull,
// ErrUnknown, ErrClosed, a *DamageError found while reading, what a Seal
// returned, or a breach of the limits. Only ErrUnknown leaves open whether c is
// on the disk.
func (s *Store) Commit(ctx context.Context, c Commit) (Committed, error) {
	return Committed{}, errNotYet
}

// Get returns the value of a record and whether it is there.
func (s *Store) Get(kind, key string) (value []byte, ok bool, err error) {
	return nil, false, errNotYet
}

// Each calls fn for every record of kind whose key starts with prefix, in the
// order of keys, on one snapshot. Keys are hidden on the disk, so it reads the
// whole kind whatever the prefix: give what is scanned often a kind of its own
// ("open", "day-2026-11-24").
func (s *Store) Each(kind, prefix string, fn func(key string, value []byte) error) error {
	return errNotYet
}

// Count returns a counter; one that was never counted is 0.
func (s *Store) Count(name string) (int64, error) { return 0, errNotYet }

// Events calls fn for every event from sequence number from (1 is the first),
// checking the chain on the way.
func (s *Store) Events(from uint64, fn func(Event) error) error { return errNotYet }

// Head returns the last commit: number and hash; zero before the first.
func (s *Store) Head() Committed { return Committed{} }

// Waiting returns up to limit entries that may leave now, oldest first: of each
// group only the oldest that is not parked, so that none overtakes another.
func (s *Store) Waiting(limit int) ([]Stored, error) { return nil, errNotYet }

// Parked returns the entries that were set aside, oldest first.
func (s *Store) Parked() ([]Stored, error) { return nil, errNotYet }

// Depth returns how many entries wait and how many are parked.
func (s *Store) Depth() (waiting, parked int) { return 0, 0 }

// Changed signals after a commit that changed the outbox. It is one channel
// that holds one signal, for one consumer; nothing is missed between a call of
// Waiting and a receive.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Verify walks the whole chain and everything stored, and compares each stored
// value with what the chain says it must be. The first thing that does not fit
// is the *DamageError returned.
func (s *Store) Verify() (Report, error) { return Report{}, errNotYet }

// Close ends the store. Commits under way are finished first; later calls get
// ErrClosed.
func (s *Store) Close() error { return nil }
