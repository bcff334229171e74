package ledger

import (
	"errors"
	"time"
)

// PutRecord keeps an evidence record, sealed by the caller, by its evidence
// hash. The same again changes nothing.
func (tx *Tx) PutRecord(evidence [32]byte, sealed []byte) error {
	return tx.must(anyRows, nil, `INSERT INTO records (evidence, sealed) VALUES ($1, $2) ON CONFLICT (evidence) DO NOTHING`, hexed(evidence[:]), sealed)
}

// Record reads a sealed record; ErrNone when it is not kept.
func (tx *Tx) Record(evidence [32]byte) ([]byte, error) {
	var sealed []byte
	err := tx.row([]any{&sealed}, `SELECT sealed FROM records WHERE evidence = $1`, hexed(evidence[:]))
	return sealed, err
}

// Proof names two records of a device that contradict each other (scheme 7.6).
type Proof struct {
	Device        [8]byte
	Rule          string // which contradiction, in the words of who found it
	First, Second [32]byte
	FoundAt       string
}

// PutProof keeps a proof by its second record. The same again changes nothing.
func (tx *Tx) PutProof(p Proof, at time.Time) error {
	return tx.exec(nil, `INSERT INTO proofs (second, first, device, rule, found_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (second) DO NOTHING`,
		hexed(p.Second[:]), hexed(p.First[:]), hexed(p.Device[:]), p.Rule, stamp(at))
}

// Proofs lists all proofs by when they were found.
func (tx *Tx) Proofs() ([]Proof, error) {
	var all []Proof
	err := tx.rows(func(r row) error {
		var p Proof
		var second, first, device string
		if err := r.Scan(&second, &first, &device, &p.Rule, &p.FoundAt); err != nil {
			return err
		}
		err := errors.Join(unhex(p.Second[:], second), unhex(p.First[:], first), unhex(p.Device[:], device))
		all = append(all, p)
		return err
	}, `SELECT second, first, device, rule, found_at FROM proofs ORDER BY found_at, second`)
	return all, err
}

// exceptionsKey puts the changes of the list of blocked devices in order: a
// version is seen after all versions below it.
const exceptionsKey = "exceptions"

// SetDeviceStatus blocks a device or activates it again, and notes the change in
// the list of blocked devices.
func (tx *Tx) SetDeviceStatus(id [8]byte, status DeviceStatus) error {
	if err := tx.after(exceptionsKey); err != nil {
		return err
	}
	changed, err := tx.changed(`UPDATE devices SET status = $1 WHERE id = $2 AND status <> $1`, string(status), hexed(id[:]))
	if err != nil {
		return err
	}
	if changed == 0 {
		_, err := tx.Device(id)
		return err // it is so already, or unknown
	}
	return tx.exec(ErrNone, `INSERT INTO exceptions (version, device, blocked)
		SELECT COALESCE(MAX(version), 0) + 1, $1, CAST($2 AS INTEGER) FROM exceptions`, hexed(id[:]), flag(status == DeviceBlocked))
}

// Change is a step of the list of blocked devices.
type Change struct {
	Version uint64
	Device  [8]byte
	Blocked bool
}

// Exceptions lists the changes of the list of blocked devices after a version,
// up to so many.
func (tx *Tx) Exceptions(after uint64, limit int) ([]Change, error) {
	var all []Change
	err := tx.rows(func(r row) error {
		var c Change
		var device string
		if err := r.Scan(&c.Version, &device, &c.Blocked); err != nil {
			return err
		}
		err := unhex(c.Device[:], device)
		all = append(all, c)
		return err
	}, `SELECT version, device, blocked FROM exceptions WHERE version > $1 ORDER BY version LIMIT $2`, int64(after), limit)
	return all, err
}

// LastException is the latest change of the list; ErrNone when there was none.
func (tx *Tx) LastException() (Change, error) {
	var c Change
	var device string
	err := tx.row([]any{&c.Version, &device, &c.Blocked}, `SELECT version, device, blocked FROM exceptions ORDER BY version DESC LIMIT 1`)
	if err != nil {
		return c, err
	}
	return c, unhex(c.Device[:], device)
}
