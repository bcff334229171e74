package terminal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"time"

	"tapkeeper/emv"
)

// Counters of the exposure: what is approved offline and without the wallet's
// receipt, reserved ahead in the commit of the pending record.
const (
	countPayments = "exposure/payments"
	countSum      = "exposure/sum"
	countDevice   = "exposure/device/" // with deviceKey behind it
)

// deviceKey names a device in keys and counters: a hash, for the device id
// itself is masked everywhere (scheme 4.2).
func deviceKey(d emv.DeviceID) string {
	id := d.Bytes()
	sum := sha256.Sum256(append([]byte("tapkeeper device "), id[:]...))
	return hex.EncodeToString(sum[:16])
}

// reserve holds the exposure of a payment; the caps hold in the commit. A limit of
// nothing is refused here: to the journal a cap of 0 is none.
func (t *Terminal) reserve(p *Payment, device emv.DeviceID) ([]Count, error) {
	r := &Reserve{Device: countDevice + deviceKey(device), Minor: p.AmountMinor}
	l := t.cfg.Limits
	for _, none := range []struct {
		name  string
		limit int64
	}{{countPayments, l.Payments}, {countSum, l.SumMinor}, {r.Device, l.PerDevice}} {
		if none.limit <= 0 {
			return nil, &CapError{Counter: none.name}
		}
	}
	p.Reserved = r
	return []Count{
		{Name: countPayments, Delta: 1, Cap: l.Payments},
		{Name: countSum, Delta: r.Minor, Cap: l.SumMinor},
		{Name: r.Device, Delta: r.Minor, Cap: l.PerDevice},
	}, nil
}

// release gives back what a payment holds.
func release(p *Payment) []Count {
	r := p.Reserved
	if r == nil {
		return nil
	}
	p.Reserved = nil
	return []Count{
		{Name: countPayments, Delta: -1},
		{Name: countSum, Delta: -r.Minor},
		{Name: r.Device, Delta: -r.Minor},
	}
}

// exposure answers the kernel's question for TVR B4b3 (scheme 5.4).
type exposure struct{ t *Terminal }

// Full says whether accepting the amount offline would break a limit of
// the terminal. What cannot be read counts as exceeded.
func (e exposure) Full(device emv.DeviceID, amount emv.Amount) bool {
	l := e.t.cfg.Limits
	over := func(name string, delta, limit int64) bool {
		n, err := e.t.journal.Count(name)
		return err != nil || n+delta > limit
	}
	minor := int64(amount)
	return over(countPayments, 1, l.Payments) ||
		over(countSum, minor, l.SumMinor) ||
		over(countDevice+deviceKey(device), minor, l.PerDevice) ||
		e.t.oldestUnsent(time.Now()) > l.OldestAge
}

// oldestUnsent is the age of the oldest offline payment without a receipt.
func (t *Terminal) oldestUnsent(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var age time.Duration
	for _, at := range t.unsent {
		age = max(age, now.Sub(at))
	}
	return age
}

// history is the device history of scheme 7.3 in the journal.
type history struct{ t *Terminal }

// spending is what the journal keeps of a device; the key is its hash.
type spending struct {
	ATC   uint16     `json:"atc"`
	Epoch uint32     `json:"epoch"`
	Index uint16     `json:"index"`
	Spent emv.Amount `json:"spent"`
}

// Seen returns what was seen of a device. What cannot be read counts as a
// device that has spent everything, so that nothing is approved on a guess.
func (h history) Seen(device emv.DeviceID) (emv.Seen, bool) {
	raw, ok, err := h.t.journal.Get(kindSeen, deviceKey(device))
	if err == nil && !ok {
		return emv.Seen{}, false
	}
	s := spending{ATC: math.MaxUint16, Epoch: math.MaxUint32}
	var kept spending
	if err == nil && json.Unmarshal(raw, &kept) == nil {
		s = kept
	}
	return emv.Seen{Device: device, ATC: s.ATC, Epoch: s.Epoch, Index: s.Index, Spent: s.Spent}, true
}

// seenRecord is the record of a device's history.
func seenRecord(s *emv.Seen) Record {
	return Record{kindSeen, deviceKey(s.Device), mustJSON(spending{s.ATC, s.Epoch, s.Index, s.Spent})}
}

func (t *Terminal) lookups(lists Trust) emv.Lookups {
	return emv.Lookups{
		Revocations: lists, Exceptions: lists,
		History: history{t}, Exposure: exposure{t},
	}
}

// Held is an exposure: payments approved offline, or reserved, without the
// wallet's receipt.
type Held struct{ Payments, SumMinor int64 }

// Exposure returns what is held now and the limits of it.
func (t *Terminal) Exposure() (held, most Held, err error) {
	if held.Payments, err = t.journal.Count(countPayments); err != nil {
		return held, most, err
	}
	held.SumMinor, err = t.journal.Count(countSum)
	return held, Held{t.cfg.Limits.Payments, t.cfg.Limits.SumMinor}, err
}

// BusinessDay is the day that a payment accepted at that moment belongs to.
func (t *Terminal) BusinessDay(at time.Time) string { return t.cfg.businessDay(at) }
