package endtoend_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/queue"
	"tapkeeper/uplink"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// tapsAPhone spreads the taps as a shop's day does: a phone comes a few times.
const tapsAPhone = 50

// load is a wallet and one enrolled terminal, for benchmarks without a reader.
type load struct {
	b        *testing.B
	dir      string
	ledger   *ledger.Ledger
	keys     *backend.Keys
	terminal *wire.Terminal
	now      time.Time
}

var loadAddress = wire.Address{Merchant: "tea-house", Terminal: "till-1"}

func newLoad(b *testing.B, dir string) *load {
	b.Helper()
	l := &load{b: b, dir: dir, now: time.Now()}
	good := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	var err error
	l.ledger, err = ledger.Open(context.Background(), filepath.Join(dir, "ledger.db"))
	good(err)
	b.Cleanup(func() { l.ledger.Close() })
	issuer, err := backend.NewIssuer(l.now, rand.Reader)
	good(err)
	l.keys, err = backend.NewKeys(issuer, rand.Reader)
	good(err)
	good(backend.SaveKeys(filepath.Join(dir, "keys.json"), l.keys))
	public, private, err := ed25519.GenerateKey(rand.Reader)
	good(err)
	good(backend.EnrolTerminal(b.Context(), l.ledger, backend.Enrolment{Address: loadAddress, MerchantName: "Tea House",
		SchemeTerminal: "TERM0001", PublicKey: public, Currency: "CNY"}))
	signing, err := wire.NewSigningKey(private)
	good(err)
	l.terminal, err = wire.NewTerminal(wire.TerminalKeys{Address: loadAddress, Signing: signing,
		WalletSigning: []ed25519.PublicKey{l.keys.Signing.Public()}, WalletEncryption: l.keys.Decryption.Public()})
	good(err)
	good(backend.OpenPayer(b.Context(), l.ledger, "payer:rich", "Rich", "CNY", 1_000_000_000, l.now))
	return l
}

// customer is a new phone with a card and an allowance.
func (l *load) customer() *phone.Wallet {
	l.b.Helper()
	profile, err := l.keys.Issuer.IssueCard(l.b.Context(), l.ledger, backend.Card{Account: "payer:rich", Kind: backend.WalletBalance,
		Label: "TapKeeper", Digits: [2]byte{0x43, 0x21},
		Allowance: &backend.Allowance{TotalMinor: 1_000_000, PerTapMinor: 1_000, MaxTaps: tapsAPhone}}, l.now, rand.Reader)
	if err != nil {
		l.b.Fatal(err)
	}
	w, err := backendtest.New(profile, func() time.Time { return l.now })
	if err != nil {
		l.b.Fatal(err)
	}
	return w
}

// paid is what payment n is, with the evidence of a tap of the phone.
func (l *load) paid(n int, who *phone.Wallet, ask, kind byte) (wire.Payment, error) {
	id := wire.ID{0: 1}
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	record, _, err := backendtest.Tap{Payment: id, Amount: 1, Ask: ask, Merchant: loadAddress.Merchant, Terminal: "TERM0001",
		At: l.now, Kind: kind, Connected: ask == backendtest.AskARQC}.Do(who)
	if err != nil {
		return wire.Payment{}, err
	}
	return wire.Payment{PaymentID: id, OrderRef: fmt.Sprint("order-", n), AmountMinor: 1, Currency: "CNY",
		BusinessDay: l.now.Format(time.DateOnly), AcceptedAt: wire.At(l.now), RecordKind: wire.RecordKind(kind), Record: wire.NewRecord(record)}, nil
}

// outbox is a journal with n stored payments that wait for the wallet, each with
// what a terminal keeps of one. It lets a link empty it.
type outbox struct {
	*queue.Store
	left atomic.Int64
	done chan struct{}
}

// storedRecord is about as large as a terminal's own record of a payment.
var storedRecord = make([]byte, 2500)

func (l *load) stored(n int) *outbox {
	l.b.Helper()
	master := make([]byte, 32)
	rand.Read(master)
	store, err := queue.Open(queue.Options{Dir: filepath.Join(l.dir, "journal"), Master: master})
	if err != nil {
		l.b.Fatal(err)
	}
	l.b.Cleanup(func() { store.Close() })
	o := &outbox{Store: store, done: make(chan struct{})}
	o.left.Store(int64(n))
	var next atomic.Int64
	var work sync.WaitGroup
	for range 16 { // the queue syncs what comes together once
		work.Go(func() {
			for {
				first := int(next.Add(tapsAPhone)) - tapsAPhone
				if first >= n {
					return
				}
				who := l.customer()
				for i := first; i < min(first+tapsAPhone, n); i++ {
					if err := l.store(o, i, who); err != nil {
						l.b.Error(err)
						return
					}
				}
			}
		})
	}
	work.Wait()
	if l.b.Failed() {
		l.b.FailNow()
	}
	return o
}

func (l *load) store(o *outbox, n int, who *phone.Wallet) error {
	p, err := l.paid(n, who, backendtest.AskTC, 1)
	if err != nil {
		return err
	}
	message := wire.ID{0: 2}
	copy(message[8:], p.PaymentID[8:])
	_, err = o.Commit(context.Background(), queue.Commit{
		Records: []queue.Record{{Kind: "payment", Key: p.PaymentID.String(), Value: storedRecord}},
		Event:   []byte("stored"),
		Entries: []queue.Entry{{ID: message.String(), Group: p.PaymentID.String(), Kind: string(wire.KindAdvice), Priority: queue.PriorityAdvice,
			Seal: func(seq uint64) ([]byte, error) {
				return l.terminal.Seal(wire.Header{ID: message, Sequence: seq, Time: l.now}, wire.Advice{Payment: p})
			}}},
		Counts: []queue.Count{{Name: "unsent", Delta: 1}, {Name: "unsent sum", Delta: p.AmountMinor}},
	})
	return err
}

func (o *outbox) Sent([]wire.ID) {}

func (o *outbox) Waiting(limit int, known func(wire.ID) bool) ([]uplink.Entry, error) {
	stored, err := o.Store.WaitingBut(limit, func(name string) bool {
		id, err := wire.ParseID(name)
		return err == nil && known(id)
	})
	if err != nil {
		return nil, err
	}
	entries := make([]uplink.Entry, 0, len(stored))
	for _, s := range stored {
		id, err := wire.ParseID(s.ID)
		if err != nil {
			return nil, err
		}
		entries = append(entries, uplink.Entry{ID: id, Group: s.Group, Kind: wire.Kind(s.Kind), Body: s.Body})
	}
	return entries, nil
}

// handle keeps a receipt as a terminal does: the payment's new state, the receipt,
// the counters, and the entry gone, in one commit.
func (o *outbox) handle(ctx context.Context, m *wire.Message) error {
	r, ok := m.Data.(wire.Receipt)
	if !ok {
		return nil
	}
	if r.Result != wire.Accepted {
		return fmt.Errorf("refused: reason %d", r.Reason)
	}
	if _, known, err := o.Get("receipt", r.Answers.String()); err != nil || known {
		return err
	}
	_, err := o.Commit(ctx, queue.Commit{
		Records: []queue.Record{{Kind: "payment", Key: r.PaymentID.String(), Value: storedRecord}, {Kind: "receipt", Key: r.Answers.String(), Value: m.Raw}},
		Event:   []byte("settled"), Done: []string{r.Answers.String()},
		Counts: []queue.Count{{Name: "unsent", Delta: -1}, {Name: "unsent sum", Delta: -r.AmountMinor}},
	})
	if err == nil && o.left.Add(-1) == 0 {
		close(o.done)
	}
	return err
}
