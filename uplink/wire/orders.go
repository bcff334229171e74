package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// What the wallet sends without being asked. None of it is answered: the state
// message tells what was taken. A terminal takes it if it is newer than what it
// has and not expired (I15).

const (
	// MaxBundle bounds a configuration bundle in bytes: ten times what a fleet's
	// folder needs when compressed, and it surely fits MaxMessage.
	MaxBundle = 32 << 10
	// MaxExceptions bounds the changes of the exception list in one message,
	// MaxRevoked those of the revocation list: both together fit MaxMessage.
	MaxExceptions = 1000
	MaxRevoked    = 200
	maxReason     = 200 // bytes of a command's text for people
)

// Config (Down) carries a configuration bundle. The wallet's signature says whose
// terminal it is meant for; whether the configuration is good, the signatures of
// the bundle's own signers say.
type Config struct {
	Serial   uint64 `json:"serial"`    // rises with every bundle
	NotAfter Time   `json:"not_after"` // of taking it, not of its use
	SHA256   Digest `json:"sha256"`    // of the bundle
	Bundle   Base64 `json:"bundle"`
}

// Hotlist (Down) carries changes of the exception list, of the revocation list
// of the scheme's CA, or of both.
type Hotlist struct {
	Exceptions *Exceptions `json:"exceptions,omitempty"`
	// Revocations is a JWS of the scheme's CA, for ReadRevocations.
	Revocations string `json:"revocations,omitempty"`
}

// ListVersion is the head of a list of changes. They apply to the version Base,
// 0 for an empty list; whoever has another asks for it by its state.
type ListVersion struct {
	Version  uint64 `json:"version"`
	IssuedAt Time   `json:"issued_at"` // the list's age counts from here
	Base     uint64 `json:"base"`
}

// Exceptions are changes of the wallet's list of blocked devices: ids of 16
// lower-case hex digits, each once.
type Exceptions struct {
	ListVersion
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Order is what a Command wants.
type Order string

// The orders. A terminal that does not know one ignores it, and counts its number
// as taken.
const (
	OrderReport    Order = "report"    // publish the state now
	OrderReconcile Order = "reconcile" // compare BusinessDay with the wallet
	OrderSuspend   Order = "suspend"   // begin no new payment, until OrderResume
	OrderResume    Order = "resume"
)

// Command (Down) asks the terminal to do something that moves no money.
type Command struct {
	Number      uint64 `json:"number"` // rises with every command to this terminal
	NotAfter    Time   `json:"not_after"`
	Order       Order  `json:"order"`
	BusinessDay string `json:"business_day,omitempty"` // of OrderReconcile, and only there
	Reason      string `json:"reason,omitempty"`       // for people
}

// Kind of the data.
func (Config) Kind() Kind { return KindConfig }

// Kind of the data.
func (Hotlist) Kind() Kind { return KindHotlist }

// Kind of the data.
func (Command) Kind() Kind { return KindCommand }

func (Config) subject() string  { return "" }
func (Hotlist) subject() string { return "" }
func (Command) subject() string { return "" }

func (c Config) check() error {
	switch {
	case c.Serial == 0 || c.Serial > MaxSequence:
		return errors.New("serial: out of range")
	case c.NotAfter.IsZero():
		return errors.New("not_after: missing")
	case len(c.Bundle) == 0 || len(c.Bundle) > MaxBundle:
		return fmt.Errorf("bundle: want 1 to %d bytes", MaxBundle)
	case DigestOf(c.Bundle) != c.SHA256:
		return errors.New("sha256: not of the bundle")
	}
	return nil
}

func (h Hotlist) check() error {
	if h.Exceptions == nil && h.Revocations == "" {
		return errors.New("neither exceptions nor revocations")
	}
	if h.Exceptions == nil {
		return nil
	}
	e := h.Exceptions
	if err := e.ListVersion.check(); err != nil {
		return fmt.Errorf("exceptions: %w", err)
	}
	if err := checkChanges(e.Added, e.Removed, MaxExceptions, func(id string) bool { return lowerHex(id, 8) }); err != nil {
		return fmt.Errorf("exceptions: %w", err)
	}
	return nil
}

func (c Command) check() error {
	switch {
	case c.Number == 0 || c.Number > MaxSequence:
		return errors.New("number: out of range")
	case c.NotAfter.IsZero():
		return errors.New("not_after: missing")
	case !validKind(string(c.Order)): // a later version may know more orders
		return errors.New("order: want up to 32 of a-z and _")
	case c.Reason != "" && !printable(c.Reason, maxReason):
		return fmt.Errorf("reason: want up to %d printable bytes", maxReason)
	case (c.Order == OrderReconcile) != (c.BusinessDay != ""):
		return errors.New("business_day: belongs to reconcile, and only to it")
	case c.BusinessDay != "":
		return checkDay(c.BusinessDay)
	}
	return nil
}

func (v ListVersion) check() error {
	switch {
	case v.Version == 0 || v.Version > MaxSequence:
		return errors.New("version: out of range")
	case v.Base >= v.Version:
		return errors.New("base: not below version")
	case v.IssuedAt.IsZero():
		return errors.New("issued_at: missing")
	}
	return nil
}

// checkChanges holds that every entry is well-formed and stands once.
func checkChanges[E comparable](added, removed []E, limit int, ok func(E) bool) error {
	if len(added)+len(removed) > limit {
		return fmt.Errorf("added and removed: more than %d", limit)
	}
	seen := make(map[E]bool, len(added)+len(removed))
	for _, list := range [][]E{added, removed} {
		for n, e := range list {
			if !ok(e) || seen[e] {
				return fmt.Errorf("added and removed: entry %d is malformed or stands twice", n)
			}
			seen[e] = true
		}
	}
	return nil
}

// lowerHex tells whether s are n bytes in lower-case hex digits.
func lowerHex(s string, n int) bool {
	return len(s) == 2*n && strings.Trim(s, "0123456789abcdef") == ""
}

// Base64 are bytes that travel in base64url without padding (RFC 4648, 5).
type Base64 []byte

// MarshalText gives base64url.
func (b Base64) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads base64url strictly: one value has one spelling.
func (b *Base64) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.ContainsAny(s, "\r\n") {
		return errors.New("want base64url")
	}
	read, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return errors.New("want base64url")
	}
	*b = read
	return nil
}
