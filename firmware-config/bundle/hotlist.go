package bundle

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"time"

	"tapkeeper/emv"
)

const (
	crlName        = "crl.toml"
	exceptionsName = "exceptions.toml"
	// maxHotlistBytes holds about 100,000 entries; more belongs into a set built for it.
	maxHotlistBytes = 16 << 20
)

// Hotlist says which certificates are revoked and which devices are blocked. It is
// not changed after loading and may be asked by several goroutines.
type Hotlist struct {
	CRLVersion, ExceptionsVersion int64
	CRLIssued, ExceptionsIssued   time.Time

	revoked map[revocation]bool
	blocked map[emv.DeviceID]bool
}

// revocation is one line of the CRL; a revoked issuer certificate has no device.
type revocation struct {
	rid    [5]byte
	index  byte
	issuer uint32
	device [6]byte
	whole  bool // the issuer certificate itself
}

type crlFile struct {
	Schema   int64     `toml:"schema"`
	Version  int64     `toml:"version"`
	IssuedAt time.Time `toml:"issued_at"`
	Entries  []crlLine `toml:"entries"`
}

type crlLine struct {
	RID          string  `toml:"rid"`
	Index        int64   `toml:"index"`
	IssuerSerial string  `toml:"issuer_serial"`
	DeviceSerial *string `toml:"device_serial" need:"no"`
}

type exceptionsFile struct {
	Schema   int64           `toml:"schema"`
	Version  int64           `toml:"version"`
	IssuedAt time.Time       `toml:"issued_at"`
	Entries  []exceptionLine `toml:"entries"`
}

type exceptionLine struct {
	Device string `toml:"device"`
}

// LoadHotlist reads crl.toml and exceptions.toml from the root of a folder. A
// missing file is refused: no list is not an empty list.
func LoadHotlist(fsys fs.FS) (*Hotlist, error) {
	h := &Hotlist{revoked: map[revocation]bool{}, blocked: map[emv.DeviceID]bool{}}
	c := &inspector{file: crlName}
	var crl crlFile
	if c.read(fsys, maxHotlistBytes, &crl) {
		c.head(crl.Schema, crl.Version, crl.IssuedAt)
		h.CRLVersion, h.CRLIssued = begun(crl.Version, len(crl.Entries)), crl.IssuedAt
		for i, line := range crl.Entries {
			h.revoked[c.revocation(fmt.Sprintf("entries[%d].", i), line)] = true
		}
	}
	e := &inspector{file: exceptionsName}
	var exceptions exceptionsFile
	if e.read(fsys, maxHotlistBytes, &exceptions) {
		e.head(exceptions.Schema, exceptions.Version, exceptions.IssuedAt)
		h.ExceptionsVersion, h.ExceptionsIssued = begun(exceptions.Version, len(exceptions.Entries)), exceptions.IssuedAt
		for i, line := range exceptions.Entries {
			var device [8]byte
			copy(device[:], e.bytes(fmt.Sprintf("entries[%d].device", i), line.Device, 8, 8))
			h.blocked[emv.NewDeviceID(device)] = true
		}
	}
	if err := refusal(append(c.faults, e.faults...)); err != nil {
		return nil, err
	}
	return h, nil
}

// head checks what both files begin with.
func (c *inspector) head(form, version int64, issued time.Time) {
	c.within("schema", form, schema, schema)
	c.want(version >= 1, "version", "1 or more", version)
	c.want(!issued.IsZero(), "issued_at", "a date and time with its zone", "none")
}

func (c *inspector) revocation(at string, f crlLine) revocation {
	r := revocation{whole: f.DeviceSerial == nil}
	copy(r.rid[:], c.bytes(at+"rid", f.RID, 5, 5))
	if serial := c.bytes(at+"issuer_serial", f.IssuerSerial, 4, 4); serial != nil {
		r.issuer = binary.BigEndian.Uint32(serial)
	}
	if c.within(at+"index", f.Index, 1, 255) {
		r.index = byte(f.Index)
	}
	if !r.whole {
		copy(r.device[:], c.bytes(at+"device_serial", *f.DeviceSerial, 6, 6))
	}
	return r
}

// AgeDays is the age of the CRL in whole days, counted from issued_at
// (docs/terminal.md Messages). A list from the future has age 0: that the clock
// is wrong is told by other means.
func (h *Hotlist) AgeDays(now time.Time) int {
	return max(0, int(now.Sub(h.CRLIssued)/(24*time.Hour)))
}
