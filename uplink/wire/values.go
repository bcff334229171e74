package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ID is a UUID: of a message, a payment or a refund. The zero ID means none.
type ID [16]byte

// ParseID reads the canonical form only: 36 characters, lower case.
func ParseID(s string) (ID, error) {
	var id ID
	return id, id.UnmarshalText([]byte(s))
}

func (id ID) String() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// MarshalText gives the canonical form.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return errors.New("not a UUID in canonical form")
	}
	var read ID
	if err := readLowerHex(read[:], bytes.ReplaceAll(text, []byte("-"), nil)); err != nil {
		return errors.New("not a UUID in canonical form")
	}
	if read == (ID{}) {
		return errors.New("nil UUID")
	}
	*id = read
	return nil
}

// Digest is the SHA-256 of a message's exact bytes, or of canonical items.
type Digest [sha256.Size]byte

// DigestOf is the digest of raw.
func DigestOf(raw []byte) Digest { return sha256.Sum256(raw) }

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText gives 64 lower-case hex digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 lower-case hex digits.
func (d *Digest) UnmarshalText(text []byte) error { return readLowerHex(d[:], text) }

// Abandoned is an attempt whose answer was never obtained: transaction id and
// unpredictable number (scheme 8.6).
type Abandoned [20]byte

// MarshalText gives 40 lower-case hex digits.
func (a Abandoned) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(a[:])), nil }

// UnmarshalText reads 40 lower-case hex digits.
func (a *Abandoned) UnmarshalText(text []byte) error { return readLowerHex(a[:], text) }

// readLowerHex fills dst exactly; upper case is refused so that a value has one spelling.
func readLowerHex(dst, text []byte) error {
	if len(text) != 2*len(dst) || !bytes.Equal(text, bytes.ToLower(text)) {
		return fmt.Errorf("want %d lower-case hex digits", 2*len(dst))
	}
	if _, err := hex.Decode(dst, text); err != nil {
		return fmt.Errorf("want %d lower-case hex digits", 2*len(dst))
	}
	return nil
}

// Reason is a byte of scheme section 10; on the wire two upper-case hex digits.
type Reason byte

func (r Reason) String() string { return fmt.Sprintf("%02X", byte(r)) }

// MarshalText gives two upper-case hex digits.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads two upper-case hex digits; any value, for later reasons
// are shown with the text of 0B (scheme 10).
func (r *Reason) UnmarshalText(text []byte) error {
	var b [1]byte
	if _, err := hex.Decode(b[:], text); len(text) != 2 || err != nil || !bytes.Equal(text, bytes.ToUpper(text)) {
		return errors.New("want two upper-case hex digits")
	}
	*r = Reason(b[0])
	return nil
}

// RecordKind is DF8B31 of the record (scheme 9.1); 0 means no record.
type RecordKind byte

// MarshalText gives two digits, 01 to 06.
func (k RecordKind) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%02X", byte(k)), nil }

// UnmarshalText reads two digits, 01 to 06.
func (k *RecordKind) UnmarshalText(text []byte) error {
	if len(text) != 2 || text[0] != '0' || text[1] < '1' || text[1] > '6' {
		return errors.New("want 01 to 06")
	}
	*k = RecordKind(text[1] - '0')
	return nil
}

// Time is a moment on the wire: RFC 3339 in UTC, written to the millisecond.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// At makes a Time of t.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// MarshalJSON writes UTC with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return nil, errors.New("year is outside RFC 3339")
	}
	return []byte(t.UTC().Format(`"` + timeLayout + `"`)), nil
}

// UnmarshalJSON reads RFC 3339 that ends in Z.
func (t *Time) UnmarshalJSON(text []byte) error {
	s := string(text)
	if len(s) < 3 || s[0] != '"' || s[len(s)-2:] != `Z"` {
		return errors.New("want RFC 3339 in UTC, ending in Z")
	}
	read, err := time.Parse(time.RFC3339Nano, s[1:len(s)-1])
	if err != nil {
		return errors.New("want RFC 3339 in UTC, ending in Z")
	}
	t.Time = read.UTC()
	return nil
}

// Record is an evidence record (BF8B01) in clear. It is sealed to the wallet on
// the wire, and never prints (scheme 9.2).
type Record struct{ bytes func() []byte }

// NewRecord wraps the bytes of a BF8B01 object; nil makes no record.
func NewRecord(b []byte) Record {
	if len(b) == 0 {
		return Record{}
	}
	own := bytes.Clone(b)
	return Record{func() []byte { return own }}
}

// Bytes are the record's own bytes, not to be changed; nil for no record.
func (r Record) Bytes() []byte {
	if r.bytes == nil {
		return nil
	}
	return r.bytes()
}

// Format keeps the record out of every fmt verb.
func (r Record) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[record]") }
