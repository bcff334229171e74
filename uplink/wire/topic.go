package wire

import (
	"errors"
	"fmt"
	"strings"
)

const (
	root = "tapkeeper/v1/"
	// UpFilter is what the wallet subscribes to: every terminal's messages.
	UpFilter = root + "+/+/up/+"
	// maxAddressPart bounds a merchant or terminal id, so that a topic stays
	// far below 256 bytes.
	maxAddressPart = 32
)

// Kind says what a message is: the middle of its type, `tapkeeper.KIND.v1`.
type Kind string

// Kinds from the terminal, then kinds from the wallet.
const (
	KindAuthorisation  Kind = "authorisation"
	KindAdvice         Kind = "advice"
	KindReport         Kind = "report"
	KindReversal       Kind = "reversal"
	KindRefund         Kind = "refund"
	KindQuery          Kind = "query"
	KindReconciliation Kind = "reconciliation"
	KindEcho           Kind = "echo"
	KindState          Kind = "state"

	KindReceipt              Kind = "receipt"
	KindStatus               Kind = "status"
	KindReconciliationAnswer Kind = "reconciliation_answer"
	KindEchoAnswer           Kind = "echo_answer"
	KindConfig               Kind = "config"
	KindHotlist              Kind = "hotlist"
	KindCommand              Kind = "command"

	// KindBatch is no message: it names the topics on which several travel as one
	// publication, see Join.
	KindBatch Kind = "batch"
)

// segment is the last part of the topic: answers share the word of the question.
func (k Kind) segment() string { return strings.TrimSuffix(string(k), "_answer") }

// money tells whether messages of this kind come out of the journal.
func (k Kind) money() bool {
	switch k {
	case KindAuthorisation, KindAdvice, KindReport, KindReversal, KindRefund:
		return true
	}
	return false
}

// Address names a terminal: the merchant's id and its own, each [a-z0-9-]{1,32}.
type Address struct{ Merchant, Terminal string }

// Validate tells which part is not an id.
func (a Address) Validate() error {
	if !validAddressPart(a.Merchant) {
		return errors.New("merchant: want 1 to 32 of a-z, 0-9 and -")
	}
	if !validAddressPart(a.Terminal) {
		return errors.New("terminal: want 1 to 32 of a-z, 0-9 and -")
	}
	return nil
}

// String is the URI reference that names the terminal as a CloudEvents source.
func (a Address) String() string { return "/tapkeeper/" + a.Merchant + "/" + a.Terminal }

// UpTopic is where the terminal publishes messages of a kind.
func (a Address) UpTopic(k Kind) string { return a.topic("up", k.segment()) }

// DownTopic is where the wallet publishes answers of a kind.
func (a Address) DownTopic(k Kind) string { return a.topic("down", k.segment()) }

// DownFilter is what the terminal subscribes to.
func (a Address) DownFilter() string { return a.topic("down", "+") }

func (a Address) topic(direction, segment string) string {
	return root + a.Merchant + "/" + a.Terminal + "/" + direction + "/" + segment
}

// parseTopic splits a topic of the given direction.
func parseTopic(topic, direction string) (a Address, segment string, err error) {
	rest, ok := strings.CutPrefix(topic, root)
	part := strings.Split(rest, "/")
	if !ok || len(part) != 4 || part[2] != direction {
		return Address{}, "", fmt.Errorf("topic is not one of %s…/%s/…: %w", root, direction, ErrForeign)
	}
	a = Address{Merchant: part[0], Terminal: part[1]}
	if err := a.Validate(); err != nil {
		return Address{}, "", fmt.Errorf("topic: %w: %w", err, ErrForeign)
	}
	return a, part[3], nil
}

// belongs holds that a message came on the topic of its kind, or in a batch if
// its kind may travel so.
func (k Kind) belongs(segment string) error {
	if segment == k.segment() || segment == string(KindBatch) && k.Batched() {
		return nil
	}
	return fmt.Errorf("%s on another topic: %w", k, ErrForeign)
}

func validAddressPart(s string) bool {
	if len(s) == 0 || len(s) > maxAddressPart {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
