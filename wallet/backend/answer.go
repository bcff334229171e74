package backend

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

// answer seals an answer to the terminal that asked.
func (s *Service) answer(m *wire.Message, d wire.Data) ([]Publication, error) {
	sealed, err := s.wire.Seal(m.Terminal, wire.Header{ID: s.newID(), Time: s.now()}, d)
	if err != nil {
		return nil, fmt.Errorf("answer %s: %w", m.Kind, err)
	}
	return []Publication{{m.Terminal.DownTopic(d.Kind()), sealed}}, nil
}

// refuseContent is the receipt for content that uses another message's id or
// number. Its own number is not kept, hence the 0.
func (s *Service) refuseContent(tx *ledger.Tx, m *wire.Message, c claim) (wire.Receipt, uint64, error) {
	state := wire.StateUnknown
	p, err := tx.Payment(c.PaymentID)
	switch {
	case err == nil && p.Merchant == m.Terminal.Merchant && p.Terminal == m.Terminal.Terminal:
		state = stateOf(p)
	case err != nil && !errors.Is(err, ledger.ErrNone):
		return wire.Receipt{}, 0, fmt.Errorf("read payment %s: %w", c.PaymentID, err)
	}
	return wire.Receipt{Answer: m.Reply(), PaymentID: c.PaymentID, Sequence: m.Sequence, Result: wire.Refused, State: state,
		Reason: reasonProtocol, WalletRef: walletRef(c.PaymentID)}, 0, nil
}

// refuseData refuses for good what is genuine but not acceptable, so that the
// terminal parks it. Without a payment to name there is no such answer.
func (s *Service) refuseData(d *wire.DataError) ([]Publication, error) {
	m := d.Message
	switch m.Kind {
	case wire.KindAuthorisation, wire.KindAdvice, wire.KindReport, wire.KindReversal, wire.KindRefund:
	default:
		return nil, fmt.Errorf("%w: %w", ErrRejected, d)
	}
	if d.PaymentID == (wire.ID{}) || m.Sequence == 0 {
		return nil, fmt.Errorf("%w: %w", ErrRejected, d)
	}
	return s.answer(m, wire.Receipt{Answer: m.Reply(), PaymentID: d.PaymentID, Sequence: m.Sequence, Result: wire.Refused,
		State: wire.StateUnknown, Reason: reasonProtocol, WalletRef: walletRef(d.PaymentID)})
}

// query tells what is known of a payment. It creates nothing, so that asking
// for a payment can never stand in its way.
func (s *Service) query(ctx context.Context, m *wire.Message, q wire.Query) ([]Publication, error) {
	status := wire.Status{Answer: m.Reply(), PaymentID: q.PaymentID, State: wire.StateUnknown}
	err := s.ledger.View(ctx, func(tx *ledger.Tx) error {
		p, err := tx.Payment(q.PaymentID)
		if errors.Is(err, ledger.ErrNone) || err == nil && (p.Merchant != m.Terminal.Merchant || p.Terminal != m.Terminal.Terminal) {
			return nil // unknown, or none of this terminal's business
		}
		if err != nil {
			return fmt.Errorf("read payment %s: %w", q.PaymentID, err)
		}
		status.State, status.Reason, status.AmountMinor = stateOf(p), wire.Reason(p.Reason), p.AmountMinor
		if p.Receipt == "" {
			return nil
		}
		status.Receipt = &wire.Receipt{}
		if err := json.Unmarshal([]byte(p.Receipt), status.Receipt); err != nil {
			return fmt.Errorf("read receipt of %s: %w", q.PaymentID, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.answer(m, status)
}

// randomID is a version 4 UUID (RFC 9562).
func randomID() (id wire.ID) {
	rand.Read(id[:]) // never fails (crypto/rand)
	id[6] = id[6]&0x0F | 0x40
	id[8] = id[8]&0x3F | 0x80
	return id
}
