package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv/channel"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

const (
	// MaxUpload bounds an upload in bytes: more taps than two grants allow.
	MaxUpload = 256 << 10
	// releaseDays after its grant's end an undelivered tap is the payer's again.
	// Records are accepted up to recordDaysMax: no day belongs to both.
	releaseDays = recordDaysMax + 1
)

// ErrUpload says that an upload is not a phone's, or does not hold together:
// there is nothing to keep of it, and the same bytes will not get better.
var ErrUpload = errors.New("upload refused")

// App answers phones (scheme 7.4, 7.6): it takes their logs, compares them with
// what terminals delivered, gives back what nobody can claim any more, and gives
// new allowances. It is safe for concurrent use.
type App struct {
	ledger *ledger.Ledger
	issuer *Issuer
	policy Allowance
	now    func() time.Time
}

// NewApp makes one; policy is the most that a device may have undelivered, now is time.Now when nil.
func NewApp(l *ledger.Ledger, i *Issuer, policy Allowance, now func() time.Time) *App {
	if now == nil {
		now = time.Now
	}
	return &App{l, i, policy, now}
}

// Handle answers one upload with the JSON of a phone.Reply. What it changed is on
// disk when it returns; the same upload again changes nothing and gets the same
// grant. ErrUpload is for the phone, any other error is the wallet's own trouble.
func (a *App) Handle(ctx context.Context, raw []byte) ([]byte, error) {
	u, err := a.open(ctx, raw)
	if err != nil {
		return nil, err
	}
	device, err := a.device(ctx, u)
	if err != nil {
		return nil, err
	}
	now := a.now()
	var r phone.Reply
	err = a.ledger.UpdateKeys(ctx, []string{payerKey(device.Account)}, func(tx *ledger.Tx) (err error) {
		r, err = a.settle(tx, device.ID, raw, u, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("upload of device %X: %w", device.ID, err)
	}
	sum := sha256.Sum256(raw)
	r.Upload = sum[:]
	return json.Marshal(r)
}

// Release gives back what is due, of all phones. Uploads do so for their own.
func (a *App) Release(ctx context.Context) (taps int64, err error) {
	now := a.now()
	err = a.ledger.Update(ctx, func(tx *ledger.Tx) (err error) {
		taps, err = tx.Release(nil, releasable(now), now)
		return err
	})
	return taps, err
}

// releasable is the moment before which a grant must have ended for its taps to be released now.
func releasable(now time.Time) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-releaseDays)
}

// open verifies an upload and reads it.
func (a *App) open(ctx context.Context, raw []byte) (phone.Upload, error) {
	u, signature, err := readUpload(raw)
	if err != nil {
		return u, err
	}
	d, err := a.device(ctx, u)
	if err != nil {
		return u, err
	}
	public, err := hex.DecodeString(d.SignKey)
	if err != nil {
		return u, fmt.Errorf("device %X: damaged key", d.ID)
	}
	key, err := channel.NewVerifyKey(public)
	if err != nil {
		return u, fmt.Errorf("device %X: damaged key", d.ID)
	}
	if !key.Verify(signature, signedPart(raw)) {
		return u, fmt.Errorf("%w: the signature is wrong", ErrUpload)
	}
	return u, nil
}

func (a *App) device(ctx context.Context, u phone.Upload) (ledger.Device, error) {
	var d ledger.Device
	err := a.ledger.View(ctx, func(tx *ledger.Tx) (err error) { d, err = tx.Device([8]byte(u.Device)); return err })
	if errors.Is(err, ledger.ErrNone) {
		return d, fmt.Errorf("%w: unknown device", ErrUpload)
	}
	return d, err
}

// settle takes the log and, when it is asked for, gives a grant.
func (a *App) settle(tx *ledger.Tx, id [8]byte, raw []byte, u phone.Upload, now time.Time) (phone.Reply, error) {
	r := phone.Reply{ReportedATC: u.ATC, Status: "active"}
	device, err := tx.Device(id)
	if err != nil {
		return r, err
	}
	lie, err := a.compare(tx, device, u, now)
	if err != nil {
		return r, err
	}
	if lie != nil {
		if err := a.caught(tx, id, *lie, raw, now); err != nil {
			return r, err
		}
		device.Status = ledger.DeviceBlocked
	}
	if r.Released, err = tx.Release(&id, releasable(now), now); err != nil {
		return r, fmt.Errorf("release: %w", err)
	}
	if r.Undelivered, err = tx.Undelivered(id); err != nil {
		return r, fmt.Errorf("add up what is undelivered: %w", err)
	}
	account, err := tx.Account(device.Account)
	if err != nil {
		return r, fmt.Errorf("account %q: %w", device.Account, err)
	}
	if device.Status != ledger.DeviceActive || account.Blocked {
		r.Status = "blocked"
		return r, nil
	}
	if u.Renew {
		r.Grant, err = a.renew(tx, device, account, u, r.Undelivered, now)
	}
	return r, err
}

// caught blocks a device whose log contradicts a record, and keeps both.
func (a *App) caught(tx *ledger.Tx, id [8]byte, t ledger.Tap, raw []byte, now time.Time) error {
	if err := tx.SetDeviceStatus(id, ledger.DeviceBlocked); err != nil {
		return fmt.Errorf("block device: %w", err)
	}
	v, err := a.issuer.Verifier()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	sealed, err := v.seal(sum, raw)
	if err != nil {
		return err
	}
	if err := tx.PutRecord(sum, sealed); err != nil {
		return fmt.Errorf("keep upload: %w", err)
	}
	if err := tx.PutProof(ledger.Proof{Device: id, Rule: RuleLog, First: t.Evidence, Second: sum}, now); err != nil {
		return fmt.Errorf("keep proof: %w", err)
	}
	return nil
}

// compare keeps the log and holds it against the grant, against what the phone
// told before and against what terminals delivered. It returns a tap that the
// phone has signed at a terminal and whose place the log denies. A log that does
// not hold together is ErrUpload.
func (a *App) compare(tx *ledger.Tx, d ledger.Device, u phone.Upload, now time.Time) (lie *ledger.Tap, err error) {
	if u.Epoch == 0 && len(u.Taps) == 0 {
		return nil, nil
	}
	grant, err := tx.Grant(d.ID, u.Epoch)
	if errors.Is(err, ledger.ErrNone) {
		return nil, fmt.Errorf("%w: no grant of epoch %d was given", ErrUpload, u.Epoch)
	}
	if err != nil {
		return nil, fmt.Errorf("read grant: %w", err)
	}
	log, err := readLog(d.ID, grant, u)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUpload, err)
	}
	before, err := tx.Reports(d.ID, u.Epoch, 0, 0xFFFF)
	if err != nil {
		return nil, fmt.Errorf("read the log of before: %w", err)
	}
	if len(before) > len(log) {
		return nil, fmt.Errorf("%w: %d taps, %d were told before", ErrUpload, len(log), len(before))
	}
	for i, t := range log {
		if i < len(before) {
			if before[i].Chain != t.Chain {
				return nil, fmt.Errorf("%w: tap %d is another than was told before", ErrUpload, t.Index)
			}
			continue
		}
		if err := tx.PutReport(t, now); err != nil {
			return nil, fmt.Errorf("keep tap %d: %w", t.Index, err)
		}
	}
	delivered, err := tx.Taps(d.ID, u.Epoch)
	if err != nil {
		return nil, fmt.Errorf("read delivered taps: %w", err)
	}
	for _, t := range delivered {
		// A tap that came after the upload is not in it, however late the upload is.
		if denies(u, t.Index, unpackLink(t.Link).ATC, t.Chain) {
			return &t, nil
		}
	}
	return nil, nil
}

// renew gives the next grant, or the one that the phone has not taken yet. What
// is undelivered of all earlier epochs lowers it (scheme 7.6), so that the
// operator's risk is the policy and not a policy an epoch. Nothing left is no grant.
func (a *App) renew(tx *ledger.Tx, d ledger.Device, account ledger.Account, u phone.Upload, undelivered int64, now time.Time) ([]byte, error) {
	left := a.policy
	left.TotalMinor -= undelivered
	if left.TotalMinor <= 0 {
		return nil, nil
	}
	if u.Epoch == 0 || u.Epoch+1 < d.Epoch {
		return nil, fmt.Errorf("%w: no next grant belongs to epoch %d", ErrUpload, u.Epoch)
	}
	if u.Epoch < d.Epoch { // the phone has not told of the last one
		given, err := tx.Grant(d.ID, d.Epoch)
		if err != nil {
			return nil, fmt.Errorf("read grant: %w", err)
		}
		switch {
		case given.ValidTo.Before(releasable(now)): // nothing of it can come any more
		case given.ValidTo.Before(now) || given.TotalMinor > left.TotalMinor:
			return nil, nil // it may have been used, or what was spent since must be delivered first
		default:
			return given.Body[:], nil
		}
	}
	left.PerTapMinor = min(left.PerTapMinor, left.TotalMinor)
	epoch, err := tx.NextEpoch(d.ID)
	if err != nil {
		return nil, err
	}
	currency, _ := numericOf(account.Currency)
	signed, err := a.issuer.grant(d.ID, epoch, u.ATC, currency, left, now)
	if err != nil {
		return nil, err
	}
	g, err := granted(signed)
	if err != nil {
		return nil, err
	}
	return signed, tx.PutGrant(g)
}
