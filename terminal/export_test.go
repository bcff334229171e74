package terminal

import (
	"context"
	"encoding/json"

	"tapkeeper/emv"
	"tapkeeper/emv/channel"
	"tapkeeper/uplink/wire"
)

// What tests of the decisions need to see.

type Verdict struct {
	State      State
	Settlement Settlement
	Messages   []string
}

func Judge(out *emv.Outcome) Verdict {
	v := judge(out)
	var messages []string
	for _, m := range v.messages {
		messages = append(messages, string(m))
	}
	return Verdict{v.state, v.settlement, messages}
}

func Compare(here, there []wire.Item) []Difference { return compare(here, there) }

var NewID = newID

// Put stores a payment as a process that died left it.
func (t *Terminal) Put(p *Payment, records ...Record) error {
	c := t.change(Payment{}, p, "put by a test")
	c.Records = append(c.Records, Record{kindOrder, p.OrderRef, mustJSON([]ID{p.ID})})
	if !p.State.Ended() {
		c.Records = append(c.Records, Record{kindOpen, p.ID.String(), []byte(p.ID.String())})
	}
	c.Records = append(c.Records, records...)
	_, err := t.commit(context.Background(), c)
	return err
}

// PutReserved stores a payment that holds exposure.
func (t *Terminal) PutReserved(p *Payment) error {
	counts, err := t.reserve(p, emv.NewDeviceID([8]byte{1, 2, 3, 4, 5, 6, 7, 8}))
	if err != nil {
		return err
	}
	c := Commit{Event: []byte("reserve"), Counts: counts}
	if _, err := t.commit(context.Background(), c); err != nil {
		return err
	}
	return t.Put(p)
}

// PutStored stores a payment as its outcome APPROVED leaves it, advice and all.
func (t *Terminal) PutStored(p *Payment) error {
	if err := t.PutReserved(p); err != nil {
		return err
	}
	out := emv.Outcome{Result: emv.Approved, RecordKind: emv.RecordOffline, Record: someRecord}
	next, c, err := t.settle(p, &out, p.CreatedAt)
	if err != nil {
		return err
	}
	*p = next
	_, err = t.commit(context.Background(), c)
	return err
}

// someRecord stands for the evidence of a tap that was approved offline: kind 01,
// and an answer whose CID says that the phone has committed.
var someRecord = channel.NewSecret([]byte{0xBF, 0x8B, 0x01, 0x14,
	0xDF, 0x8B, 0x30, 0x01, 0x01, 0xDF, 0x8B, 0x31, 0x01, 0x01,
	0xDF, 0x8B, 0x34, 0x06, 0x77, 0x04, 0x9F, 0x27, 0x01, 0x40})

// Authorise asks the wallet for a payment in state authorising, and returns at its end.
func (t *Terminal) Authorise(ctx context.Context, p Payment, seq uint64) {
	t.authorise(ctx, p, proof{record: []byte{0xBF, 0x8B, 0x01, 0x00}, kind: emv.RecordOnline}, seq)
}

// Conclude commits an outcome for a payment in the field.
func (t *Terminal) Conclude(p Payment, out emv.Outcome) {
	t.conclude(&visit{t: t, p: p, ctx: context.Background()}, out)
}

// ConcludeRefund commits an outcome for a refund in the field.
func (t *Terminal) ConcludeRefund(p Payment, refund ID, out emv.Outcome) error {
	return t.concludeRefund(&visit{t: t, p: Payment{ID: refund}, refundOf: &p.ID, ctx: context.Background()}, &out)
}

// DropRefundPending goes back to waiting for a tap for a refund.
func (t *Terminal) DropRefundPending(p Payment, refund ID) error {
	return (&visit{t: t, p: Payment{ID: refund}, refundOf: &p.ID, ctx: context.Background()}).dropPending()
}

// SomeRecord stands for the evidence of a tap.
var SomeRecord = someRecord

func (t *Terminal) Running() bool { return t.running() }

func (t *Terminal) Fatal() error { return t.failure() }

const KindPending = kindPending

// PutRecord sets one record.
func (t *Terminal) PutRecord(kind, key string, value []byte) error {
	_, err := t.commit(context.Background(), Commit{Event: []byte("put by a test"), Records: []Record{{kind, key, value}}})
	return err
}

// AskedJSON is the record of an idempotency key.
func AskedJSON(p ID) ([]byte, error) { return json.Marshal(asked{Payment: p}) }
