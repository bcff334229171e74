package emv

import "time"

// Unanswered names a GENERATE AC whose answer was never obtained: transaction
// id and unpredictable number (scheme 3.6, "abandoned").
type Unanswered [20]byte

// RecordKind is DF8B31 of an evidence record (scheme 9.1).
type RecordKind byte

// Kinds of record.
const (
	RecordNone     RecordKind = 0x00
	RecordOffline  RecordKind = 0x01
	RecordOnline   RecordKind = 0x02
	RecordDeclined RecordKind = 0x03
	RecordReversal RecordKind = 0x04
	RecordSuspect  RecordKind = 0x05
	RecordRefund   RecordKind = 0x06
)

// Outcome is how a field activation ended. It is a value: a decline is not an
// error. It may be printed; what must not be printed is in Secrets.
type Outcome struct {
	Result  Result
	Reason  Reason
	Message Message // shown now, with Status, at least for Hold
	Status  Status
	Hold    time.Duration

	// Set with TryAgain, whose Start is B: what to show while waiting for the
	// next tap, and how long the field stays off before it.
	Restart       Message
	RestartStatus Status
	FieldOff      time.Duration

	// KeepPending says that the pending record last stored must stay: the
	// answer may still be recovered. Otherwise it is to be deleted, in the same
	// commit as everything else of this outcome.
	KeepPending bool

	// Answered says that the phone answered GENERATE AC and the answer could be
	// read; only then the fields of this group mean anything. CID is set unless
	// the result is End.
	Answered bool
	TVR      TVR
	TSI      TSI
	CVM      [3]byte // 9F34
	Asked    byte    // P1 of GENERATE AC
	CID      byte
	ATC      uint16

	RecordKind RecordKind
	Record     Secret // BF8B01, to be stored before anything is told; empty with RecordNone
	Deferred   bool   // an Online refund without a connection: to be sent later
	Abandoned  []Unanswered
	Seen       *Seen // history entry to store, whatever the result

	Device     DeviceID // who was tapped, as far as known
	Reference  Secret   // DF8B0A, to be stored with the sale for a refund
	LastDigits string   // for the receipt
	Label      string   // the application's name for the display; not authenticated

	Detail string // what was wrong, for a technician: tags and positions, no values
	Fault  error  // our own failure (the source of randomness); nil otherwise
}

// Final reports whether the attempt is over.
func (o *Outcome) Final() bool { return o.Result != TryAgain }

// Times of scheme 3.6, which gives them in units of 100 ms.
const (
	seePhoneTime     = 1300 * time.Millisecond
	presentAgainTime = 300 * time.Millisecond
)

func ended(m Message, r Reason, detail string) Outcome {
	return Outcome{Result: End, Reason: r, Message: m, Status: StatusError, Detail: detail}
}

func malformed(detail string) Outcome { return ended(MsgError, ReasonProtocol, detail) }

func otherInterface(r Reason) Outcome {
	return Outcome{Result: OtherInterface, Reason: r, Message: MsgOtherInterface, Status: StatusError}
}

func undetermined() Outcome {
	return Outcome{Result: Undetermined, Reason: ReasonUnknown, Message: MsgError, Status: StatusError}
}

func restart(m Message, r Reason, pause time.Duration) Outcome {
	return Outcome{
		Result: TryAgain, Reason: r, Message: m, Status: StatusError, Hold: pause,
		Restart: MsgPresentAgain, RestartStatus: StatusReady, FieldOff: pause,
	}
}

func seePhone(m Message, r Reason) Outcome { return restart(m, r, seePhoneTime) }
