package wire

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

const (
	specVersion  = "1.0"
	contentType  = "application/json"
	walletSource = "/tapkeeper/wallet"
)

// envelope is CloudEvents 1.0 in JSON, with the extensions sequence (of the
// CloudEvents registry: a string that sorts, hence 20 digits) and audience.
type envelope struct {
	SpecVersion string             `json:"specversion"`
	ID          ID                 `json:"id"`
	Source      string             `json:"source"`
	Type        string             `json:"type"`
	Time        Time               `json:"time"`
	Subject     string             `json:"subject,omitempty"`
	ContentType string             `json:"datacontenttype"`
	Sequence    string             `json:"sequence,omitempty"`
	Audience    string             `json:"audience,omitempty"`
	Data        stdjson.RawMessage `json:"data"`
}

// encode makes the payload of a message; record is the sealed record or empty.
func encode(source, audience string, h Header, d Data, record string) ([]byte, error) {
	if h.ID == (ID{}) || h.Time.IsZero() {
		return nil, errors.New("header: id and time are needed")
	}
	if err := checkSequence(h.Sequence, d.Kind()); err != nil {
		return nil, err
	}
	data, err := stdjson.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", d.Kind(), err)
	}
	if record != "" {
		// Compact JWE is made of base64url and dots: it needs no escaping.
		data = fmt.Appendf(data[:len(data)-1], `,"record":"%s"}`, record)
	}
	e := envelope{
		SpecVersion: specVersion, ID: h.ID, Source: source, Type: typeOf(d.Kind()),
		Time: At(h.Time), Subject: d.subject(), ContentType: contentType,
		Audience: audience, Data: data,
	}
	if h.Sequence != 0 {
		e.Sequence = fmt.Sprintf("%020d", h.Sequence)
	}
	payload, err := stdjson.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	return payload, nil
}

// decodeEnvelope reads everything but the data.
func decodeEnvelope(payload []byte) (*envelope, *Message, error) {
	if !utf8.Valid(payload) {
		return nil, nil, errors.New("envelope: not UTF-8")
	}
	var e envelope
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, nil, fmt.Errorf("envelope: %w", err)
	}
	switch {
	case e.SpecVersion != specVersion:
		return nil, nil, errors.New("envelope: specversion is not 1.0")
	case e.ContentType != contentType:
		return nil, nil, errors.New("envelope: datacontenttype is not application/json")
	case e.ID == (ID{}):
		return nil, nil, errors.New("envelope: no id")
	case e.Time.IsZero():
		return nil, nil, errors.New("envelope: no time")
	}
	kind, err := kindOf(e.Type)
	if err != nil {
		return nil, nil, fmt.Errorf("envelope: %w", err)
	}
	sequence, err := parseSequence(e.Sequence)
	if err != nil {
		return nil, nil, fmt.Errorf("envelope: %w", err)
	}
	return &e, &Message{
		Header: Header{ID: e.ID, Sequence: sequence, Time: e.Time.Time},
		Kind:   kind,
	}, nil
}

func typeOf(k Kind) string { return "tapkeeper." + string(k) + ".v1" }

// kindOf reads the type. Another version of a known kind is an unknown type.
func kindOf(t string) (Kind, error) {
	k, ok := strings.CutPrefix(t, "tapkeeper.")
	k, ok2 := strings.CutSuffix(k, ".v1")
	if !ok || !ok2 || !validKind(k) {
		return "", ErrUnknownType
	}
	return Kind(k), nil
}

func validKind(k string) bool {
	return k != "" && len(k) <= 32 && strings.Trim(k, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func parseSequence(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	if len(s) != 20 {
		return 0, errors.New("sequence: want 20 digits")
	}
	var n uint64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > MaxSequence {
			return 0, errors.New("sequence: want 20 digits, at most 2^53 - 1")
		}
		n = n*10 + uint64(c-'0')
	}
	if n == 0 || n > MaxSequence {
		return 0, errors.New("sequence: out of range")
	}
	return n, nil
}

// checkSequence holds that what comes out of the journal carries its number.
func checkSequence(n uint64, k Kind) error {
	if n > MaxSequence || k.money() && n == 0 {
		return errors.New("sequence: out of range")
	}
	return nil
}

type decoder func(data []byte, open func(payment ID, sealed string) (Record, error)) (Data, error)

// upDecoder lists the types that a terminal sends.
func upDecoder(k Kind) decoder {
	switch k {
	case KindAuthorisation:
		return decode[Authorisation]
	case KindAdvice:
		return decode[Advice]
	case KindReport:
		return decode[Report]
	case KindReversal:
		return decode[Reversal]
	case KindRefund:
		return decode[Refund]
	case KindQuery:
		return decode[Query]
	case KindReconciliation:
		return decode[Reconciliation]
	case KindEcho:
		return decode[Echo]
	case KindState:
		return decode[State]
	}
	return nil
}

// downDecoder lists the types that the wallet sends.
func downDecoder(k Kind) decoder {
	switch k {
	case KindReceipt:
		return decode[Receipt]
	case KindStatus:
		return decode[Status]
	case KindReconciliationAnswer:
		return decode[ReconciliationAnswer]
	case KindEchoAnswer:
		return decode[EchoAnswer]
	case KindConfig:
		return decode[Config]
	case KindHotlist:
		return decode[Hotlist]
	case KindCommand:
		return decode[Command]
	}
	return nil
}

// decode reads data strictly into a T, opens the record if T carries one, and
// checks the whole.
func decode[T Data](data []byte, open func(ID, string) (Record, error)) (Data, error) {
	if len(data) == 0 || data[0] != '{' {
		return nil, errors.New("not an object")
	}
	var d T
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	if p, ok := any(&d).(interface{ payment() *Payment }); ok {
		if sealed := p.payment().Sealed; sealed != nil {
			r, err := open(p.payment().PaymentID, *sealed)
			if err != nil {
				return nil, err
			}
			p.payment().Record, p.payment().Sealed = r, nil
		}
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return d, nil
}

// open decodes the data of a genuine message into m.
func (m *Message) open(e *envelope, d decoder, open func(ID, string) (Record, error)) error {
	fail := func(err error) error {
		id, _ := ParseID(e.Subject)
		return &DataError{Message: m, PaymentID: id, Err: err}
	}
	if d == nil {
		return fail(ErrUnknownType)
	}
	if err := checkSequence(m.Sequence, m.Kind); err != nil {
		return fail(err)
	}
	data, err := d(e.Data, open)
	if err != nil {
		return fail(err)
	}
	if data.subject() != e.Subject {
		return fail(errors.New("subject: not that of the data"))
	}
	m.Data = data
	return nil
}
