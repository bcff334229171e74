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

// Options say where a store is and what opens it.
type Options struct {
	// Dir is the store's own directory; it is made (0700) when absent. Its
	// parent must exist.
	Dir string
	// Master is the 32-byte key that wraps the store's data key. Open copies
	// nothing of it: the caller may wipe it afterwards.
	Master []byte
	// HandedOver opens a journal that was handed over, too, to read it.
	HandedOver bool
	// Logger gets what Badger has to say (warnings and errors) and what Open
	// has mended. None: silence.
	Logger Logger

	free  func(dir string) (uint64, error) // of tests: how much room there is
	trial bool                             // a copy that is opened to see whether it is whole: it is not mended
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
	Park    []Park   // entries set aside, refused for good; each must wait
	Hold    []Park   // entries set aside for a while, with the rest of their group; each must wait
	Release []string // parked or held entries that wait again, at their old place
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
	ID       string // unique among the entries of the outbox
	Group    string // entries of one group leave in order; "" is no group
	Kind     string
	Priority Priority
	Seal     func(seq uint64) ([]byte, error)
}

// Priority says which of several groups goes first: a group has the priority
// of its first entry, for nothing overtakes within a group.
type Priority byte

// Money that must go back comes before money that comes in.
const (
	PriorityRest Priority = iota
	PriorityAdvice
	PriorityReversal
	priorities = iota
)

// Park sets an entry aside with its reason. A parked entry blocks nobody; one
// that is held keeps its group back.
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

// Event is one link of the chain. Its hash covers Payload and Changes by their
// digests, so that a link can be shown without showing them.
type Event struct {
	Seq     uint64
	Payload []byte
	Changes []byte   // what its commit did to the cells; docs/durability.md has the layout
	Hash    [32]byte // of this event
	Prev    [32]byte // of the one before; zero for the first
}

// Stored is an entry of the outbox as it was committed.
type Stored struct {
	ID, Group, Kind string
	Priority        Priority
	State           State
	Seq             uint64 // of the commit that brought it
	Body            []byte
	Reason          string // why it is parked or held; "" when it waits
}

// State is where an entry of the outbox stands.
type State string

// An entry that has left the outbox has no state here: its record tells.
const (
	Queued State = "queued" // not sent since the store was opened
	Sent   State = "sent"   // Store.Sent was told so; it stays until its receipt is committed
	Parked State = "parked"
	Held   State = "held"
)

// Report is what Verify has walked through.
type Report struct {
	Head              Committed
	Records, Counters int
	Waiting, Aside    int // entries of the outbox; Aside are parked or held
	// Healed names faults that were found and mended without loss when the
	// store was opened: one of two anchor slots, or of two copies of the
	// wrapped key, did not verify.
	Healed []string
}
