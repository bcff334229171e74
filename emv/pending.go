package emv

import (
	"encoding/json"
	"errors"
	"fmt"

	"tapkeeper/emv/channel"
)

// Pending is what must be durable before GENERATE AC is sent (scheme 8.6.1): all
// that is needed to judge the answer, whenever it comes. It holds the MAC key of
// the tap and data of the phone, so it is only ever stored encrypted, and it
// cannot be printed.
type Pending struct{ in func() *pending }

// pending has exported fields for its coding only.
type pending struct {
	Version     int
	Transaction [16]byte
	UN          [4]byte
	TerminalID  [8]byte
	Tries       int
	Lost        []Unanswered // abandoned before this one

	AID                              []byte
	TACDenial, TACOnline, TACDefault TVR
	CVMRequired, Connected           bool
	Asked                            byte
	TVR                              TVR
	TSI                              TSI

	ADF, PDOL, Qualifier, AIP   []byte
	PDOLData, CDOL1Data, Signed []byte
	Issuer, Device, Grant       []byte // nil when the phone sent none
	DeviceID                    []byte // nil when the phone sent none
	LastDigits, Label           string
	SDH                         [32]byte
	SKi                         []byte
	Qs                          []byte // nil unless authenticated (scheme 2.5 step 14)
	GrantGood                   bool   // steps 30 to 32 of scheme 2.5 passed

	qs memo[channel.VerifyKey] // Qs read: not again when the answer comes
}

// verifyKey reads Qs; the zero key of an unauthenticated device verifies nothing.
func (p *pending) verifyKey() channel.VerifyKey {
	k, err := channel.NewVerifyKey(p.Qs)
	if err != nil {
		return channel.VerifyKey{}
	}
	return k
}

const pendingVersion = 1

// maxPending bounds what LoadPending reads: a pending record is a few
// kilobytes, 16 records of at most 255 bytes among them.
const maxPending = 64 << 10

func wrap(p *pending) *Pending { return &Pending{in: func() *pending { return p }} }

// Marshal codes the record for an encrypted store, before Stored is called: the
// key in it dies when the answer is known. The bytes are secret.
func (p *Pending) Marshal() ([]byte, error) {
	b, err := json.Marshal(p.in())
	if err != nil {
		return nil, fmt.Errorf("code pending record: %w", err)
	}
	return b, nil
}

// LoadPending reads what Marshal wrote.
func LoadPending(b []byte) (*Pending, error) {
	if len(b) > maxPending {
		return nil, errors.New("read pending record: too long")
	}
	var p pending
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, errors.New("read pending record: not readable") // the cause may quote bytes
	}
	if p.Version != pendingVersion || len(p.SKi) != channel.KeySize ||
		p.DeviceID != nil && len(p.DeviceID) != 8 {
		return nil, errors.New("read pending record: other version or incomplete")
	}
	return wrap(&p), nil
}

// Sale is the payment's id.
func (p *Pending) Sale() [16]byte { return p.in().Transaction }

// Asked is what will be asked of the phone: 00 AAC, 40 TC, 80 ARQC. Only a TC
// needs room in the offline limits.
func (p *Pending) Asked() byte { return p.in().Asked }

// DeviceID is who will be asked, the zero DeviceID when not known.
func (p *Pending) DeviceID() DeviceID { return p.in().device() }

func (p *pending) device() DeviceID {
	if p.DeviceID == nil {
		return DeviceID{}
	}
	return NewDeviceID([8]byte(p.DeviceID))
}

func (p *pending) unanswered() Unanswered {
	return Unanswered(append(append(make([]byte, 0, 20), p.Transaction[:]...), p.UN[:]...))
}
