// Package wire is the versioned message contract between a terminal and the
// wallet's backend: what travels in tapkeeper/v1/… topics, byte for byte.
//
// A message is a CloudEvents 1.0 envelope in JSON, signed whole as a compact
// JWS (EdDSA). The evidence record inside it is a compact JWE (ECDH-ES with
// A256GCM) to the wallet's P-256 key. [Terminal] holds the keys of one side,
// [Wallet] those of the other; both seal with Seal and read with Open. Several
// messages may share a publication: [Join] and [Split]. The contract in prose is
// docs/wallet-link.md, its schemas lie beside it.
//
// The package promises that Open returns a message only if the signature, the
// topic, the addressee and every known field are right, and that an answer names
// the exact bytes it answers. Fields it does not know are ignored (a later
// version may add some), known ones are strictly typed, and a type it does not
// know is refused with [ErrUnknownType]. [Fault] names each refusal.
//
// It does no I/O and keeps no clock: time and ids are parameters. It does not
// remember messages, so that a repetition is the caller's to recognise.
package wire

import (
	"errors"
	"time"
)

// Limits. Whatever exceeds one is refused before it is parsed further.
const (
	// MaxMessage bounds a message in bytes: room for the largest record and a
	// page of items, small enough for a terminal to hold a full window of them.
	MaxMessage = 64 << 10
	// MaxRecord bounds a record (BF8B01) in bytes; real ones take about 1.5 KiB.
	MaxRecord = 8 << 10
	// MaxRanges and MaxLeaf bound a reconciliation: ranges of one question, and
	// items of one range's answer. All of them surely fit MaxMessage.
	MaxRanges = 24
	MaxLeaf   = 8
	// MaxAbandoned bounds the abandoned list: a sale has at most 5 hints
	// (scheme 3.6), the rest is room for restarts.
	MaxAbandoned = 16
	// MaxAmountMinor is n12, the widest amount the tap can carry (scheme 4.1).
	MaxAmountMinor = 999_999_999_999
	// MaxSequence is the largest number that every JSON reader keeps exact.
	MaxSequence = 1<<53 - 1
	// MaxOrderRef bounds the till's order reference in bytes.
	MaxOrderRef = 128
)

// What a receiver can act upon. Every other error of Open means: malformed.
var (
	// ErrSignature: not signed by the one key that may sign it.
	ErrSignature = errors.New("signature is not good")
	// ErrForeign: genuine, but for another terminal or another topic.
	ErrForeign = errors.New("message belongs elsewhere")
	// ErrUnknownType: genuine, but of a type that this version does not know.
	ErrUnknownType = errors.New("unknown message type")
	// ErrTooLarge: over MaxMessage.
	ErrTooLarge = errors.New("message is too large")
)

// DataError says that a message is genuine and meant for us, but its data is
// not acceptable. Message has all but Data; PaymentID is its subject if that is
// one. It lets the wallet refuse for good what would otherwise be resent for ever.
type DataError struct {
	Message   *Message
	PaymentID ID
	Err       error
}

func (e *DataError) Error() string { return "data: " + e.Err.Error() }

func (e *DataError) Unwrap() error { return e.Err }

// Header is what the sender of a message chooses.
type Header struct {
	ID       ID        // of this message; a resend keeps it, being the same bytes
	Sequence uint64    // the journal's number; 0 for messages outside the journal
	Time     time.Time // of sealing; travels in UTC, to the millisecond
}

// Message is an opened message.
type Message struct {
	Header
	Terminal Address // its sender, or for an answer its addressee
	Kind     Kind
	Data     Data
	Raw      []byte // the exact bytes, worth keeping as proof
}

// Reply is what an answer to m must carry.
func (m *Message) Reply() Answer {
	return Answer{Answers: m.ID, AnswersSHA256: DigestOf(m.Raw)}
}

// Data is the typed content of a message, one of the structs named Up or Down
// in their comments. The set is closed.
type Data interface {
	Kind() Kind
	check() error
	subject() string
}

// Answer names the message that a Down struct answers.
type Answer struct {
	Answers       ID     `json:"answers"`
	AnswersSHA256 Digest `json:"answers_sha256"`
}

func (a Answer) answer() Answer { return a }

func (a Answer) check() error {
	if a.Answers == (ID{}) {
		return errors.New("answers: missing")
	}
	if a.AnswersSHA256 == (Digest{}) {
		return errors.New("answers_sha256: missing")
	}
	return nil
}

// Answers tells which message d answers; false when d is not an answer.
func Answers(d Data) (Answer, bool) {
	if a, ok := d.(interface{ answer() Answer }); ok {
		return a.answer(), true
	}
	return Answer{}, false
}
