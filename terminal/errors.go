package terminal

import "errors"

// What a caller acts on. Every other error is ours, or the wire's.
var (
	// ErrConflict: a guard of a commit did not hold; somebody else was first.
	ErrConflict = errors.New("the record changed in between")
	// ErrUncertain: the journal cannot say whether a commit is durable. The
	// terminal stops; the next start reads the truth from the disk.
	ErrUncertain = errors.New("the journal does not know whether the commit is durable")
	// ErrStorage: nothing can be kept right now (disk full, key missing). A tap
	// is refused before the phone is read (I16).
	ErrStorage = errors.New("the journal cannot keep a payment")

	// ErrManyPhones: more than one phone answers in the field.
	ErrManyPhones = errors.New("more than one phone in the field")
	// ErrNoField: there is no reader right now.
	ErrNoField = errors.New("no reader")
	// ErrWalletAway: the wallet cannot be asked, or did not answer in time.
	ErrWalletAway = errors.New("the wallet cannot be reached")

	ErrNotReady  = errors.New("the terminal is still resolving what was in flight")
	ErrKeyReused = errors.New("the key was used for another request")
	ErrNotFound  = errors.New("no such payment")
	ErrTooLate   = errors.New("the phone may already have paid; ask for the outcome")
	// ErrOldCopy: the journal does not hold what the wallet was told of it. Somebody
	// has restored an older copy: payments may be missing in it (I9).
	ErrOldCopy = errors.New("the journal is an older copy than the one that the wallet knows")

	// ErrNotPaid: there is no money of this payment to give back, or nobody knows yet.
	ErrNotPaid = errors.New("the payment is not paid")
	// ErrManager: the refunds of this payment are above the limit of a cashier.
	ErrManager = errors.New("a refund of this amount needs a manager")
	// ErrPaidAnew: the order of a refused payment has another payment since. To
	// send the first one again could take the money twice.
	ErrPaidAnew = errors.New("the order has a newer payment")
	// ErrNotEnded: the payment can still change under whoever looks at it.
	ErrNotEnded = errors.New("the payment has not ended yet")
)
