package bundle

import (
	"errors"
	"maps"
	"time"

	"tapkeeper/emv"
)

const (
	// MaxBlocked and MaxRevoked bound a list that came by changes: all of it is
	// written in one commit of the journal, which takes 256 KiB.
	MaxBlocked = 20_000
	MaxRevoked = 2_000
	// issuedSlack is how far the clocks of a signer's machines may differ.
	issuedSlack = time.Minute
)

// Why changes of a list are not taken; the list is then as it was.
var (
	ErrNotNewer = errors.New("not newer than the list in force")
	ErrGap      = errors.New("changes of another version than the list in force")
	ErrIssued   = errors.New("issued before the list in force")
	ErrTooLong  = errors.New("the list would be too long")
)

// Changes lead from one version of a list to another (wallet-link, hotlist). E is
// emv.DeviceID or Revocation.
type Changes[E comparable] struct {
	Version, Base  int64
	Issued         time.Time
	Added, Removed []E
}

// Revocation is one line of the CRL; a revoked issuer certificate has no device.
type Revocation struct {
	RID    [5]byte
	Index  byte
	Issuer uint32
	Device *[6]byte
}

func (r Revocation) line() revocation {
	line := revocation{rid: r.RID, index: r.Index, issuer: r.Issuer, whole: r.Device == nil}
	if r.Device != nil {
		line.device = *r.Device
	}
	return line
}

// WithExceptions gives the hotlist with changes of its blocked devices.
func (h *Hotlist) WithExceptions(c Changes[emv.DeviceID]) (*Hotlist, error) {
	blocked, err := changed(h.blocked, h.ExceptionsVersion, h.ExceptionsIssued, c, MaxBlocked)
	if err != nil {
		return nil, err
	}
	next := *h
	next.blocked, next.ExceptionsVersion, next.ExceptionsIssued = blocked, c.Version, c.Issued
	return &next, nil
}

// WithRevocations gives the hotlist with changes of its CRL.
func (h *Hotlist) WithRevocations(c Changes[Revocation]) (*Hotlist, error) {
	lines := Changes[revocation]{Version: c.Version, Base: c.Base, Issued: c.Issued}
	for _, r := range c.Added {
		lines.Added = append(lines.Added, r.line())
	}
	for _, r := range c.Removed {
		lines.Removed = append(lines.Removed, r.line())
	}
	revoked, err := changed(h.revoked, h.CRLVersion, h.CRLIssued, lines, MaxRevoked)
	if err != nil {
		return nil, err
	}
	next := *h
	next.revoked, next.CRLVersion, next.CRLIssued = revoked, c.Version, c.Issued
	return &next, nil
}

// changed is a list after changes, which must be of exactly this version. A list
// that nobody has sent yet has version 0 and no date that counts.
func changed[E comparable](list map[E]bool, version int64, issued time.Time, c Changes[E], most int) (map[E]bool, error) {
	switch {
	case c.Version <= version:
		return nil, ErrNotNewer
	case c.Base != version:
		return nil, ErrGap
	case version > 0 && c.Issued.Before(issued.Add(-issuedSlack)):
		return nil, ErrIssued
	}
	next := maps.Clone(list)
	if next == nil {
		next = map[E]bool{}
	}
	for _, e := range c.Removed {
		delete(next, e)
	}
	for _, e := range c.Added {
		next[e] = true
	}
	if len(next) > most {
		return nil, ErrTooLong
	}
	return next, nil
}

// begun takes a file's list without entries and of version 1 for the empty list, to
// which all changes apply: it is what somebody writes who begins. Its date stays.
func begun(version int64, entries int) int64 {
	if version == 1 && entries == 0 {
		return 0
	}
	return version
}

// Newer gives of each part the newer of two hotlists; of h where they are the same.
// So a list that came over the link and a file that somebody has brought need not know
// of each other.
func (h *Hotlist) Newer(other *Hotlist) *Hotlist {
	next := *h
	if other.CRLVersion > h.CRLVersion {
		next.revoked, next.CRLVersion, next.CRLIssued = other.revoked, other.CRLVersion, other.CRLIssued
	}
	if other.ExceptionsVersion > h.ExceptionsVersion {
		next.blocked, next.ExceptionsVersion, next.ExceptionsIssued = other.blocked, other.ExceptionsVersion, other.ExceptionsIssued
	}
	return &next
}
