package ledger

import (
	"errors"
	"time"
)

// Grant is an allowance that was given to a device.
type Grant struct {
	Device     [8]byte
	Epoch      uint32
	Body       [126]byte
	TotalMinor int64
	ValidTo    time.Time
}

// PutGrant keeps a grant; ErrExists when the epoch has one.
func (tx *Tx) PutGrant(g Grant) error {
	return tx.exec(ErrExists, `INSERT INTO grants (device, epoch, body, total_minor, valid_to) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (device, epoch) DO NOTHING`, hexed(g.Device[:]), g.Epoch, hexed(g.Body[:]), g.TotalMinor, stamp(g.ValidTo))
}

// Grant reads the grant of an epoch; ErrNone when there is none.
func (tx *Tx) Grant(device [8]byte, epoch uint32) (Grant, error) {
	g := Grant{Device: device, Epoch: epoch}
	var body, validTo string
	err := tx.row([]any{&body, &g.TotalMinor, &validTo}, `SELECT body, total_minor, valid_to FROM grants WHERE device = $1 AND epoch = $2`,
		hexed(device[:]), epoch)
	if err != nil {
		return g, err
	}
	g.ValidTo, err = time.Parse(time.RFC3339, validTo)
	return g, errors.Join(err, unhex(g.Body[:], body))
}

// Report is a tap as the phone tells it (scheme 7.4, 7.6). Delivered says that a
// terminal has brought its record, Released that it went back to the payer.
type Report struct {
	Device      [8]byte
	Epoch       uint32
	Index       uint16
	Payment     [16]byte
	AmountMinor int64
	ATC         uint16
	Terminal    [8]byte
	Chain       [16]byte
	Delivered   bool // read only
	Released    bool // read only
}

// PutReport keeps what a phone tells of a tap; ErrExists when it told before.
func (tx *Tx) PutReport(r Report, at time.Time) error {
	return tx.exec(ErrExists, `INSERT INTO reports (device, epoch, position, payment, amount_minor, atc, terminal, chain, reported_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (device, epoch, position) DO NOTHING`, hexed(r.Device[:]), r.Epoch, r.Index,
		hexed(r.Payment[:]), r.AmountMinor, r.ATC, hexed(r.Terminal[:]), hexed(r.Chain[:]), stamp(at))
}

// Reports lists what a phone told of the taps of an epoch between two indexes, both included.
func (tx *Tx) Reports(device [8]byte, epoch uint32, first, last uint16) ([]Report, error) {
	var all []Report
	err := tx.rows(func(rows row) error {
		r := Report{Device: device, Epoch: epoch}
		var payment, terminal, chain string
		if err := rows.Scan(&r.Index, &payment, &r.AmountMinor, &r.ATC, &terminal, &chain, &r.Delivered, &r.Released); err != nil {
			return err
		}
		err := errors.Join(unhex(r.Payment[:], payment), unhex(r.Terminal[:], terminal), unhex(r.Chain[:], chain))
		all = append(all, r)
		return err
	}, reportsQuery, hexed(device[:]), epoch, first, last)
	return all, err
}

// openReports selects the reports that no terminal has delivered and that were not released.
const openReports = `released_at = '' AND NOT EXISTS (SELECT 1 FROM taps t
	WHERE t.device = reports.device AND t.epoch = reports.epoch AND t.position = reports.position)`

// Undelivered adds up what a device has spent, by its own word, and no terminal has brought.
func (tx *Tx) Undelivered(device [8]byte) (int64, error) {
	var sum int64
	err := tx.row([]any{&sum}, `SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) FROM reports WHERE device = $1 AND `+openReports,
		hexed(device[:]))
	return sum, err
}

// Release gives back what no terminal can claim any more: undelivered taps of
// payments that are reversed or never to be taken, and all that are of grants
// that ended before a moment. It says how many. Without a device it is for all.
func (tx *Tx) Release(device *[8]byte, endedBefore, at time.Time) (int64, error) {
	id := ""
	if device != nil {
		id = hexed(device[:])
	}
	return tx.changed(`UPDATE reports SET released_at = $1 WHERE ($2 = '' OR device = $2) AND `+openReports+` AND (
		EXISTS (SELECT 1 FROM payments p WHERE p.id = reports.payment AND p.state IN ('reversed', 'tombstone'))
		OR EXISTS (SELECT 1 FROM grants g WHERE g.device = reports.device AND g.epoch = reports.epoch AND g.valid_to < $3))`,
		stamp(at), id, stamp(endedBefore))
}
