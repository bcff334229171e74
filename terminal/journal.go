package terminal

import (
	"context"
	"fmt"
)

// Kinds of records in the journal. A payment's own records share its id as key.
const (
	kindPayment   = "payment"    // the Payment as the till sees it, and what recovery needs
	kindOrder     = "order"      // order reference -> ids of its payments, oldest first
	kindKey       = "idem"       // idempotency key -> payment id and what was asked
	kindOpen      = "open"       // payments that have not ended: what a restart looks at
	kindDay       = "day-"       // with the date behind it: ids of that business day
	kindUnsent    = "unsent"     // offline payments without a receipt: the exposure's ages
	kindPending   = "pending"    // the kernel's pending record (scheme 8.6)
	kindRecord    = "record"     // the evidence record BF8B01 (scheme 9.1)
	kindReference = "reference"  // DF8B0A, for a refund (scheme 8.2)
	kindReceipt   = "receipt"    // the wallet's signed answers
	kindTrace     = "trace"      // the masked dialogue of the tap
	kindSeen      = "seen"       // device history (scheme 7.3)
	kindRefunds   = "refunds-"   // with the date behind it: refund ids of that business day -> payment
	kindRecon     = "recon"      // the last reconciliation of a day
	kindTapRefund = "refund-tap" // refunds that wait for a tap -> payment
	kindAnchor    = "anchor"     // what the wallet keeps of the journal and it does not hold
)

// Records reads what was committed.
type Records interface {
	// Get returns the value of a record, false when there is none.
	Get(kind, key string) ([]byte, bool, error)
	// Each calls fn for every record of a kind whose key starts with prefix,
	// in the order of the keys. It stops at the first error of fn.
	Each(kind, prefix string, fn func(key string, value []byte) error) error
	// Count returns a counter, zero when it was never counted.
	Count(name string) (int64, error)
}

// Journal keeps what the terminal promises.
type Journal interface {
	Records
	// Commit makes everything in c durable, or nothing, and returns its
	// sequence number. It fails with *CapError or ErrConflict when c must not
	// happen, with ErrUncertain when nobody knows whether it did.
	Commit(ctx context.Context, c Commit) (seq uint64, err error)
}

// Forwarded is a Journal that knows which waiting messages were handed to the
// link since the start.
type Forwarded interface {
	Sent(message ID) bool
}

// Commit is everything that belongs together: all of it is on disk, or nothing.
type Commit struct {
	Guards  []Guard
	Records []Record
	Event   []byte // one a commit; chained to the one before (I9)
	Entries []Entry
	Done    []string // outbox entries whose receipt came
	Park    []Park   // outbox entries that wait for a person
	Release []string // parked entries that go out again
	Counts  []Count
}

// Record sets the value of a record; a nil value deletes it.
type Record struct {
	Kind, Key string
	Value     []byte
}

// Guard makes a commit fail with ErrConflict unless the record has this value;
// a nil value means that there must be none.
type Guard struct {
	Kind, Key string
	Value     []byte
}

// Entry is a message for the wallet. Seal makes its bytes inside the commit,
// once: a repetition is byte for byte the same.
type Entry struct {
	ID    string // of the message
	Group string // of the payment: entries of a group leave in order (I6)
	Kind  string
	Seal  func(seq uint64) ([]byte, error)
}

// Park sets an outbox entry aside with its reason; it blocks nobody.
type Park struct {
	ID     string
	Reason string
}

// Count adds to a counter. A cap above zero is the largest value allowed.
type Count struct {
	Name  string
	Delta int64
	Cap   int64
}

// CapError says which counter a commit would have pushed over its cap.
type CapError struct {
	Counter string
	Cap     int64
}

func (e *CapError) Error() string {
	return fmt.Sprintf("counter %s would exceed its cap of %d", e.Counter, e.Cap)
}
