package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

const (
	// enrolmentTime is how long an enrolment is believed without asking the
	// ledger again: a busy terminal sends many messages in it, and a key that is
	// taken away works no longer than this.
	enrolmentTime = time.Second
	// lookupsMax bounds what is remembered; then all is forgotten and asked anew.
	lookupsMax = 20_000
)

// enrolments remembers terminals for a moment.
type enrolments struct {
	ledger *ledger.Ledger

	mu    sync.Mutex
	known map[wire.Address]enrolment
}

type enrolment struct {
	terminal ledger.Terminal
	until    time.Time
}

// of finds a terminal; ledger.ErrNone when it is not enrolled.
func (e *enrolments) of(a wire.Address) (ledger.Terminal, error) { return e.with(a, "") }

// with asks the ledger at once when what is remembered has another key.
func (e *enrolments) with(a wire.Address, kid string) (ledger.Terminal, error) {
	e.mu.Lock()
	found, ok := e.known[a]
	e.mu.Unlock()
	now := time.Now()
	if ok && now.Before(found.until) && (kid == "" || found.terminal.KeyID == kid) {
		return found.terminal, nil
	}
	var t ledger.Terminal
	err := e.ledger.View(context.Background(), func(tx *ledger.Tx) (err error) {
		t, err = tx.Terminal(a.Merchant, a.Terminal)
		return err
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		delete(e.known, a)
		return ledger.Terminal{}, err
	}
	if e.known == nil || len(e.known) >= lookupsMax {
		e.known = map[wire.Address]enrolment{}
	}
	e.known[a] = enrolment{t, now.Add(enrolmentTime)}
	return t, nil
}

// payers remembers whose a device is. That never changes (scheme 1.4).
type payers struct {
	ledger *ledger.Ledger

	mu    sync.Mutex
	known map[[8]byte]string
}

// of finds the account of a device; "" when the device is unknown.
func (p *payers) of(ctx context.Context, device [8]byte) (string, error) {
	p.mu.Lock()
	account := p.known[device]
	p.mu.Unlock()
	if account != "" {
		return account, nil
	}
	var d ledger.Device
	err := p.ledger.View(ctx, func(tx *ledger.Tx) (err error) { d, err = tx.Device(device); return err })
	if errors.Is(err, ledger.ErrNone) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= lookupsMax {
		p.known = map[[8]byte]string{}
	}
	p.known[device] = d.Account
	return d.Account, nil
}

// keys are what a claim writes to: its merchant's books, and those of the payer
// whose device made the record. A reversal or refund without a record only adds
// to the payer's balance and needs no key for it.
func (s *Service) keys(ctx context.Context, c *claim, x *Examined) ([]string, error) {
	keys := []string{merchantKey(c.from.Merchant)}
	if x == nil || x.evidence == nil || x.evidence.device == nil {
		return keys, nil
	}
	account, err := s.payers.of(ctx, *x.evidence.device)
	if err != nil {
		return nil, err
	}
	if c.payer = account; account != "" {
		keys = append(keys, payerKey(account))
	}
	return keys, nil
}

// merchantKey and payerKey keep a merchant and a payer of one name apart.
func merchantKey(merchant string) string { return "merchant/" + merchant }
func payerKey(account string) string     { return "payer/" + account }
