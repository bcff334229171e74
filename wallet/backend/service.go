package backend

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

// ErrRejected says that a message is not genuine or not meant for the wallet:
// there is nobody to answer, and the same bytes will not get better. Any other
// error of Handle is the wallet's own trouble: handle the message again later.
var ErrRejected = errors.New("message rejected")

// Publication is what Handle wants sent.
type Publication struct {
	Topic   string
	Payload []byte
}

// Config is what a Service works with. All fields but Now and NewID are required.
type Config struct {
	Ledger     *ledger.Ledger
	Verifier   *Verifier
	Signing    wire.SigningKey
	Decryption wire.DecryptionKey
	Now        func() time.Time // time.Now when nil
	NewID      func() wire.ID   // of answers; random when nil
}

// Service answers terminals' messages. Any number of goroutines, and of
// Services on one ledger file, may work at the same time.
type Service struct {
	ledger   *ledger.Ledger
	verifier *Verifier
	wire     *wire.Wallet
	enrolled *enrolments
	payers   *payers
	now      func() time.Time
	newID    func() wire.ID
}

// NewService checks the configuration.
func NewService(c Config) (*Service, error) {
	if c.Ledger == nil || c.Verifier == nil {
		return nil, errors.New("wallet service: needs a ledger and a verifier")
	}
	s := &Service{ledger: c.Ledger, verifier: c.Verifier, now: c.Now, newID: c.NewID,
		enrolled: &enrolments{ledger: c.Ledger}, payers: &payers{ledger: c.Ledger}}
	if s.now == nil {
		s.now = time.Now
	}
	if s.newID == nil {
		s.newID = randomID
	}
	var err error
	s.wire, err = wire.NewWallet(wire.WalletKeys{Signing: c.Signing, Decryption: c.Decryption, Terminal: s.terminalKey})
	if err != nil {
		return nil, fmt.Errorf("wallet service: %w", err)
	}
	return s, nil
}

// terminalKey finds the key of an enrolled terminal; nil when there is none.
func (s *Service) terminalKey(a wire.Address, kid string) (ed25519.PublicKey, error) {
	t, err := s.enrolled.with(a, kid)
	if errors.Is(err, ledger.ErrNone) || err == nil && t.KeyID != kid {
		return nil, nil
	}
	if err != nil {
		return nil, &lookupError{fmt.Errorf("read enrolment of %s: %w", a, err)}
	}
	key, err := hex.DecodeString(t.PublicKey)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, &lookupError{fmt.Errorf("enrolment of %s: damaged key", a)}
	}
	return key, nil
}

// lookupError tells trouble with the ledger from a message that is not genuine.
type lookupError struct{ error }

func (e *lookupError) Unwrap() error { return e.error }

// handle answers one message.
func (s *Service) handle(ctx context.Context, topic string, payload []byte) ([]Publication, error) {
	m, err := s.wire.Open(topic, payload)
	var data *wire.DataError
	switch {
	case errors.As(err, &data):
		return s.refuseData(data)
	case err != nil:
		if broken := (*lookupError)(nil); errors.As(err, &broken) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	switch d := m.Data.(type) {
	case wire.Authorisation:
		return s.money(ctx, m, d.Payment, wire.ID{})
	case wire.Advice:
		return s.money(ctx, m, d.Payment, wire.ID{})
	case wire.Report:
		return s.money(ctx, m, d.Payment, wire.ID{})
	case wire.Reversal:
		return s.money(ctx, m, d.Payment, wire.ID{})
	case wire.Refund:
		return s.money(ctx, m, d.Payment, d.RefundID)
	case wire.Query:
		return s.query(ctx, m, d)
	case wire.Reconciliation:
		return s.reconcile(ctx, m, d)
	case wire.Echo:
		return s.echo(ctx, m, d)
	case wire.State:
		return s.state(ctx, m, d)
	}
	return nil, fmt.Errorf("%w: %s is not for the wallet", ErrRejected, m.Kind)
}

// money answers a message that concerns money, in one ledger transaction: the
// log of messages, the verdict, the posting and the answer.
func (s *Service) money(ctx context.Context, m *wire.Message, p wire.Payment, refund wire.ID) ([]Publication, error) {
	c := claim{kind: m.Kind, sequence: m.Sequence, Payment: p, refund: refund, answer: m.Reply()}
	now := s.now()
	var err error
	if c.from, err = s.enrolled.of(m.Terminal); err != nil {
		return nil, fmt.Errorf("read enrolment of %s: %w", m.Terminal, err)
	}
	var examined *Examined
	if record := p.Record.Bytes(); record != nil {
		c.sha256 = wire.DigestOf(record).String()
		examined = s.verifier.Examine(record, uploader(c, now))
	}
	keys, err := s.keys(ctx, &c, examined)
	if err != nil {
		return nil, fmt.Errorf("find the payer of %s: %w", c.PaymentID, err)
	}
	var out []Publication
	err = s.ledger.UpdateKeys(ctx, keys, func(tx *ledger.Tx) (err error) {
		if examined != nil {
			examined.blocked = nil // of an earlier run of this
		}
		out, err = s.once(tx, m, c, examined, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s %s of %s: %w", m.Kind, m.ID, m.Terminal, err)
	}
	if examined != nil && examined.blocked != nil {
		out = append(out, s.warn(ctx, *examined.blocked)...)
	}
	return out, nil
}

// once gives a known message its answer again, and posts a new one.
func (s *Service) once(tx *ledger.Tx, m *wire.Message, c claim, x *Examined, now time.Time) ([]Publication, error) {
	content := wire.DigestOf(m.Raw)
	id := m.ID.String()
	ahead := ledger.Ahead{Merchant: m.Terminal.Merchant, Terminal: m.Terminal.Terminal, Message: id, Sequence: m.Sequence, Payment: c.PaymentID}
	if x.reads(&ahead); ahead.Device != nil {
		ahead.Payer, ahead.MerchantAccount = c.payer, c.from.Account
	}
	if err := tx.ReadAhead(ahead); err != nil {
		return nil, fmt.Errorf("read ahead: %w", err)
	}
	seen, err := tx.Seen(m.Terminal.Merchant, m.Terminal.Terminal, id, m.Sequence)
	if err != nil && !errors.Is(err, ledger.ErrNone) {
		return nil, fmt.Errorf("read message log: %w", err)
	}
	known := err == nil
	if known && seen.ID == id && seen.Content == content {
		return []Publication{{seen.Topic, []byte(seen.Answer)}}, nil
	}
	var receipt wire.Receipt
	number := m.Sequence
	if known { // a known id or number with other content
		receipt, number, err = s.refuseContent(tx, m, c)
	} else {
		receipt, err = s.settle(tx, m, c, x, now)
	}
	if err != nil {
		return nil, err
	}
	if known && seen.ID == id { // nothing to keep, the id is taken
		return s.answer(m, receipt)
	}
	out, err := s.answer(m, receipt)
	if err != nil {
		return nil, err
	}
	err = tx.Remember(ledger.Message{Merchant: m.Terminal.Merchant, Terminal: m.Terminal.Terminal, ID: id, Sequence: number,
		Content: content, Topic: out[0].Topic, Answer: string(out[0].Payload)}, now)
	if err != nil {
		return nil, fmt.Errorf("keep the answer: %w", err)
	}
	return out, nil
}

// settle judges, posts, and writes the receipt.
func (s *Service) settle(tx *ledger.Tx, m *wire.Message, c claim, x *Examined, now time.Time) (wire.Receipt, error) {
	var verdict *Verdict
	if x != nil {
		v, err := x.Judge(tx)
		if err != nil {
			return wire.Receipt{}, err
		}
		verdict = &v
	}
	for _, a := range c.Abandoned {
		if wire.ID(a[:16]) != c.PaymentID {
			continue // of another payment: not for this message to tell
		}
		if err := tx.Abandon(a); err != nil {
			return wire.Receipt{}, fmt.Errorf("note an abandoned attempt: %w", err)
		}
	}
	p, err := post(tx, c, verdict, now)
	if err != nil {
		return wire.Receipt{}, err
	}
	receipt := c.receipt(p)
	if p.kept || p.state == wire.StateUnknown {
		return receipt, nil // it is there, or there is no payment to keep it with
	}
	text, err := json.Marshal(receipt)
	if err != nil {
		return wire.Receipt{}, fmt.Errorf("write receipt: %w", err)
	}
	if err := tx.SetReceipt(c.PaymentID, string(text)); err != nil {
		return wire.Receipt{}, fmt.Errorf("keep receipt: %w", err)
	}
	return receipt, nil
}
