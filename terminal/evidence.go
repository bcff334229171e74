package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapkeeper/terminal/dispute"
)

// Chain reads the journal as a chain (I9).
type Chain interface {
	// Links calls fn for every event from a sequence number (1 is the first) to
	// the end, and stops at the first error of fn.
	Links(from uint64, fn func(Link) error) error
	// Head is the last event's number and hash, zero before the first.
	Head() (seq uint64, hash [32]byte)
}

// Link is one event with what its hash covers.
type Link struct {
	Seq              uint64
	Prev, Hash       [32]byte
	Payload, Changes []byte
}

// maxBy bounds the name of who asks for evidence.
const maxBy = 128

// lookBack is how many events the search for a payment's first event reads at
// once: a payment that ended lately is found in the first look.
const lookBack = 512

// Evidence writes the evidence file of a payment that has ended (package
// dispute). It holds what is otherwise kept encrypted: by, who asked, is in the
// journal before the file exists, and in the file.
func (t *Terminal) Evidence(ctx context.Context, id ID, by string) ([]byte, error) {
	if by == "" || len(by) > maxBy || !printable(by) {
		return nil, &RequestError{"by", "who asks, as the operating system knows them"}
	}
	if err := t.accepting(); err != nil {
		return nil, err
	}
	if t.chain == nil {
		return nil, errors.New("this journal has no chain to export")
	}
	e, seq, err := t.export(ctx, id, by)
	if err != nil {
		return nil, err
	}
	// Not under the payment's lock: the chain can be long, and a receipt must not
	// wait for it. What comes after the export's own event is not in the file.
	if err := trail(e, t.chain, id.String(), seq); err != nil {
		return nil, fmt.Errorf("read the chain of %s: %w", id, err)
	}
	return dispute.Encode(e, t.keys.Address().String(), id.String(), t.keys.Attest)
}

// export gathers what is kept and notes who asks, while no receipt changes it.
func (t *Terminal) export(ctx context.Context, id ID, by string) (*dispute.Evidence, uint64, error) {
	defer t.locks.lock("payment/" + id.String())()
	p, err := t.load(id)
	if err != nil {
		return nil, 0, err
	}
	if !p.State.Ended() {
		return nil, 0, ErrNotEnded
	}
	e, err := t.gather(&p)
	if err != nil {
		return nil, 0, err
	}
	e.ExportedAt, e.ExportedBy = time.Now().Round(0), by
	seq, err := t.commit(ctx, Commit{
		Guards: []Guard{{kindPayment, id.String(), e.Payment}},
		Event:  mustJSON(Step{At: e.ExportedAt, Payment: id.String(), Revision: p.Revision, By: by, Why: "evidence exported"}),
	})
	if err != nil {
		return nil, 0, fmt.Errorf("store who exports evidence of %s: %w", id, err)
	}
	return e, seq, nil
}

// gather reads the payment's own records.
func (t *Terminal) gather(p *Payment) (*dispute.Evidence, error) {
	a, id := t.keys.Address(), p.ID.String()
	_, offset := p.AcceptedAt.In(t.cfg.Zone).Zone()
	e := &dispute.Evidence{
		Merchant: a.Merchant, Terminal: a.Terminal, SchemeTerminal: t.cfg.Kernel.ID, UTCOffset: offset,
	}
	for _, r := range []struct {
		kind string
		into *[]byte
	}{{kindPayment, (*[]byte)(&e.Payment)}, {kindRecord, (*[]byte)(&e.Record)}, {kindTrace, (*[]byte)(&e.Trace)}} {
		raw, _, err := t.journal.Get(r.kind, id)
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", r.kind, id, err)
		}
		*r.into = raw
	}
	err := t.journal.Each(kindReceipt, id+"/", func(key string, raw []byte) error {
		e.Receipts = append(e.Receipts, dispute.Receipt{Answers: strings.TrimPrefix(key, id+"/"), JWS: string(raw)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the receipts of %s: %w", id, err)
	}
	return e, nil
}

// ownStep reads an event of this payment; false when it is another's.
func ownStep(payload []byte, payment string) (Step, bool) {
	var s Step
	err := json.Unmarshal(payload, &s)
	return s, err == nil && s.Payment == payment
}

var errFound = errors.New("found")

// first finds the payment's first event, looking back from a later one.
func first(chain Chain, payment string, until uint64) (uint64, error) {
	for {
		from := uint64(1)
		if until > lookBack {
			from = until - lookBack + 1
		}
		var found uint64
		err := chain.Links(from, func(l Link) error {
			if s, own := ownStep(l.Payload, payment); own && s.Revision == 1 && s.By == "" {
				found = l.Seq
			}
			if l.Seq >= until || found != 0 {
				return errFound
			}
			return nil
		})
		switch {
		case err != nil && !errors.Is(err, errFound):
			return 0, err
		case found != 0:
			return found, nil
		case from == 1:
			return 0, errors.New("the payment has no first event")
		}
		until = from - 1
	}
}

// trail adds the part of the chain from the payment's first event to head.
func trail(e *dispute.Evidence, chain Chain, payment string, head uint64) error {
	from, err := first(chain, payment, head)
	if err != nil {
		return err
	}
	var t dispute.Trail
	err = chain.Links(from, func(l Link) error {
		if s, own := ownStep(l.Payload, payment); own {
			t.Own(dispute.Point{Sequence: l.Seq - 1, Hash: l.Prev[:]}, l.Payload, l.Changes, s.By != "")
		} else {
			t.Other(l.Payload, l.Changes)
		}
		if l.Seq < head {
			return nil
		}
		e.Chain, e.Head = t.Segments(), dispute.Point{Sequence: l.Seq, Hash: l.Hash[:]}
		return errFound
	})
	if errors.Is(err, errFound) {
		return nil
	}
	if err == nil {
		err = errors.New("the export's own event is missing")
	}
	return err
}
