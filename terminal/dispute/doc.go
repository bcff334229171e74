// Package dispute is the evidence file of one payment and its verification by a
// third party, on any machine, without a daemon (docs/evidence.md).
//
// The file holds what the phone has signed, what the wallet has signed, and the
// part of the terminal's journal that this payment is in: its own events whole,
// those of others as digests, so that the chain can be followed from the
// payment's first event to its last and nobody else's payment is shown. The
// terminal signs the whole.
//
// Verify asks each question by itself and says of each whether it was answered:
// a check without its key is "not checked", never good. It is written apart from
// package terminal, which makes the files: it shares the layout of the file with
// it and no judgement. It does no I/O and asks no clock.
package dispute

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Format is the version of the file.
const Format = "tapkeeper.evidence.v1"

// MaxFile bounds a file: the longest chain that an export writes is about 14 MB.
const MaxFile = 32 << 20

// File is an evidence file. The signature is a JWS whose payload is a Statement.
type File struct {
	Format    string          `json:"format"`
	Evidence  json.RawMessage `json:"evidence"`
	Signature string          `json:"signature"`
}

// Evidence is what the terminal has of one payment.
type Evidence struct {
	Merchant       string          `json:"merchant"`
	Terminal       string          `json:"terminal"`
	SchemeTerminal string          `json:"scheme_terminal"` // 9F1C
	UTCOffset      int             `json:"utc_offset_s"`    // of the store's time at the outcome
	ExportedAt     time.Time       `json:"exported_at"`
	ExportedBy     string          `json:"exported_by"`
	Payment        json.RawMessage `json:"payment"`          // as in the journal, byte for byte but for white space
	Record         Hex             `json:"record,omitempty"` // BF8B01
	Receipts       []Receipt       `json:"receipts,omitempty"`
	Trace          json.RawMessage `json:"trace,omitempty"` // masked
	Chain          []Segment       `json:"chain"`
	Head           Point           `json:"head"` // the event of this export
}

// Receipt is an answer of the wallet as it was received.
type Receipt struct {
	Answers string `json:"answers"` // the message that it answers
	JWS     string `json:"jws"`
}

// Segment is a part of the chain without a gap.
type Segment struct {
	Anchor Point  `json:"anchor"` // the event before the first
	Links  []Link `json:"links"`
}

// Link is one event of this payment, or any number of others.
type Link struct {
	Event   json.RawMessage `json:"event,omitempty"`
	Changes []byte          `json:"changes,omitempty"`
	Others  []byte          `json:"others,omitempty"` // for each: SHA-256 of its payload, SHA-256 of its changes
}

// Point is a place in the chain.
type Point struct {
	Sequence uint64 `json:"sequence"`
	Hash     Hex    `json:"hash"`
}

// Statement is what the terminal signs.
type Statement struct {
	Format   string `json:"format"`
	Source   string `json:"source"` // /tapkeeper/MERCHANT/TERMINAL
	Payment  string `json:"payment_id"`
	Head     Point  `json:"head"`
	Evidence Hex    `json:"evidence_sha256"` // of the member evidence without white space
}

// Hex is bytes as upper-case hex digits.
type Hex []byte

// MarshalText gives upper-case hex digits.
func (h Hex) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%X", []byte(h)), nil }

// UnmarshalText reads upper-case hex digits, so that a value has one spelling.
func (h *Hex) UnmarshalText(text []byte) error {
	b := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(b, text); err != nil || !bytes.Equal(bytes.ToUpper(text), text) {
		return errors.New("want upper-case hex digits")
	}
	*h = b
	return nil
}

// Encode makes a file: sign signs the statement as a JWS.
func Encode(e *Evidence, source, payment string, sign func([]byte) ([]byte, error)) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	statement, err := json.Marshal(Statement{Format, source, payment, e.Head, sha(body)})
	if err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	signature, err := sign(statement)
	if err != nil {
		return nil, fmt.Errorf("sign evidence: %w", err)
	}
	raw, err := json.MarshalIndent(File{Format, body, string(signature)}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	if len(raw) >= MaxFile {
		return nil, errors.New("evidence: longer than a file may be")
	}
	return append(raw, '\n'), nil
}

// decode reads a file that has exactly the form that Encode gives it, white
// space aside: what one reader skips, another could believe.
func decode(raw []byte) (*File, *Evidence, error) {
	if len(raw) > MaxFile {
		return nil, nil, errors.New("longer than a file may be")
	}
	var f File
	if err := exact(raw, &f); err != nil {
		return nil, nil, err
	}
	if f.Format != Format {
		return nil, nil, errors.New("format: want " + Format)
	}
	var e Evidence
	if err := exact(f.Evidence, &e); err != nil {
		return nil, nil, fmt.Errorf("evidence: %w", err)
	}
	return &f, &e, nil
}

func exact(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("not an evidence file: %w", err)
	}
	again, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("not an evidence file: %w", err)
	}
	if !bytes.Equal(again, compact(raw)) {
		return errors.New("members are repeated, reordered or spelt otherwise than an export does")
	}
	return nil
}

// compact removes insignificant white space; nil for what is no JSON.
func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return nil
	}
	return b.Bytes()
}
