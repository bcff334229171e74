package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// DeviceStatus says whether a device may pay.
type DeviceStatus string

const (
	DeviceActive  DeviceStatus = "active"
	DeviceBlocked DeviceStatus = "blocked"
)

// Device is one phone and application instance (scheme 1.4), registered for an
// account. Epoch is that of the last grant given to it.
type Device struct {
	ID       [8]byte
	Account  string
	Kind     byte
	KVN      byte
	Status   DeviceStatus
	SignKey  string
	AgreeKey string
	Epoch    uint32
}

// PutDevice registers a device; ErrExists when its id was ever used (scheme 1.4: never reused).
func (tx *Tx) PutDevice(d Device) error {
	return tx.exec(ErrExists, `INSERT INTO devices (id, account, kind, kvn, status, sign_key, agree_key, epoch)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`,
		hexed(d.ID[:]), d.Account, d.Kind, d.KVN, string(d.Status), d.SignKey, d.AgreeKey, d.Epoch)
}

// Device reads a device; ErrNone when it is unknown.
func (tx *Tx) Device(id [8]byte) (Device, error) {
	d := Device{ID: id}
	err := tx.row([]any{&d.Account, &d.Kind, &d.KVN, &d.Status, &d.SignKey, &d.AgreeKey, &d.Epoch},
		deviceQuery, hexed(id[:]))
	return d, err
}

// NextEpoch raises the epoch of a device's grants and returns it (scheme 2.3).
func (tx *Tx) NextEpoch(id [8]byte) (uint32, error) {
	if err := tx.exec(ErrNone, `UPDATE devices SET epoch = epoch + 1 WHERE id = $1`, hexed(id[:])); err != nil {
		return 0, err
	}
	d, err := tx.Device(id)
	return d.Epoch, err
}

// Mark is one use of a device's counter (scheme 7.6).
type Mark struct {
	Device   [8]byte
	ATC      uint16
	Evidence [32]byte
	Payment  [16]byte
}

// PutMark remembers the use of a counter; ErrExists when it was used before.
func (tx *Tx) PutMark(m Mark) error {
	return tx.must(1, ErrExists, `INSERT INTO marks (device, atc, evidence, payment) VALUES ($1, $2, $3, $4) ON CONFLICT (device, atc) DO NOTHING`,
		hexed(m.Device[:]), m.ATC, hexed(m.Evidence[:]), hexed(m.Payment[:]))
}

// Mark reads the use of a counter; ErrNone when it is fresh.
func (tx *Tx) Mark(device [8]byte, atc uint16) (Mark, error) {
	m := Mark{Device: device, ATC: atc}
	var evidence, payment string
	err := tx.row([]any{&evidence, &payment}, markQuery, hexed(device[:]), atc)
	if err != nil {
		return m, err
	}
	return m, errors.Join(unhex(m.Evidence[:], evidence), unhex(m.Payment[:], payment))
}

// Tap is one step of a device's allowance in an epoch (scheme 7.2). Link is
// what the tap adds to the chain, kept so that a step that arrives late can be
// judged by its successor.
type Tap struct {
	Device      [8]byte
	Epoch       uint32
	Index       uint16
	Chain       [16]byte
	Link        [34]byte
	Evidence    [32]byte
	Payment     [16]byte
	AmountMinor int64
	SpentMinor  int64
	Returned    bool
}

// PutTap remembers a step of an allowance; ErrExists when it was taken before.
func (tx *Tx) PutTap(t Tap) error {
	return tx.must(1, ErrExists, `INSERT INTO taps (device, epoch, position, chain, link, evidence, payment, amount_minor, spent_minor, returned)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (device, epoch, position) DO NOTHING`,
		hexed(t.Device[:]), t.Epoch, t.Index, hexed(t.Chain[:]), hexed(t.Link[:]), hexed(t.Evidence[:]), hexed(t.Payment[:]),
		t.AmountMinor, t.SpentMinor, flag(t.Returned))
}

// Tap reads a step of an allowance; ErrNone when no terminal has delivered it.
func (tx *Tx) Tap(device [8]byte, epoch uint32, index uint16) (Tap, error) {
	found, err := tx.taps(device, epoch, index, index)
	if err == nil && len(found) == 0 {
		return Tap{}, ErrNone
	}
	if err != nil {
		return Tap{}, err
	}
	return found[0], nil
}

// Around reads a step of an allowance and those before and after it, as far as
// terminals have delivered them, and adds up all that were delivered of the
// epoch, those returned to the payer included.
func (tx *Tx) Around(device [8]byte, epoch uint32, index uint16) (steps []Tap, sumMinor int64, err error) {
	first, last := around(index)
	if steps, err = tx.taps(device, epoch, first, last); err != nil {
		return nil, 0, err
	}
	err = tx.row([]any{&sumMinor}, sumQuery,
		hexed(device[:]), epoch)
	return steps, sumMinor, err
}

// Taps reads the delivered steps of an epoch, in their order.
func (tx *Tx) Taps(device [8]byte, epoch uint32) ([]Tap, error) {
	return tx.taps(device, epoch, 0, 0xFFFF)
}

func (tx *Tx) taps(device [8]byte, epoch uint32, first, last uint16) ([]Tap, error) {
	var all []Tap
	err := tx.rows(func(r row) error {
		t := Tap{Device: device, Epoch: epoch}
		var chain, link, evidence, payment string
		if err := r.Scan(&t.Index, &chain, &link, &evidence, &payment, &t.AmountMinor, &t.SpentMinor, &t.Returned); err != nil {
			return err
		}
		err := errors.Join(unhex(t.Chain[:], chain), unhex(t.Link[:], link), unhex(t.Evidence[:], evidence), unhex(t.Payment[:], payment))
		all = append(all, t)
		return err
	}, tapsQuery, hexed(device[:]), epoch, first, last)
	return all, err
}

// ReturnAllowance gives back to the payer's allowance what the payment's taps
// had spent. Doing it again changes nothing.
func (tx *Tx) ReturnAllowance(payment [16]byte) error {
	_, err := tx.changed(`UPDATE taps SET returned = 1 WHERE payment = $1`, hexed(payment[:]))
	return err
}

// ReturnedMinor is what was given back to a device's allowance in an epoch.
func (tx *Tx) ReturnedMinor(device [8]byte, epoch uint32) (int64, error) {
	var sum int64
	err := tx.row([]any{&sum}, `SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) FROM taps
		WHERE device = $1 AND epoch = $2 AND returned = 1`, hexed(device[:]), epoch)
	return sum, err
}

func hexed(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// unhex fills a fixed field; another length means damage.
func unhex(dst []byte, text string) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("read ledger: %d characters where %d belong", len(text), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(text)); err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	return nil
}
