package backend

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"tapkeeper/uplink/wire"
)

// Handle answers a publication: one message, or a batch of them, whose messages
// are worked on at the same time, so that the ledger can make one commit of them,
// and whose receipts share a publication again. What it changed is on disk when it
// returns; the same message again changes nothing and gets the same bytes. With
// ErrRejected come the answers to what was not rejected.
func (s *Service) Handle(ctx context.Context, topic string, payload []byte) ([]Publication, error) {
	messages, err := wire.Split(topic, payload)
	if err != nil {
		return nil, errors.Join(ErrRejected, err)
	}
	if len(messages) == 1 {
		return s.handle(ctx, topic, messages[0])
	}
	answers := make([][]Publication, len(messages))
	errs := make([]error, len(messages))
	var all sync.WaitGroup // at most wire.MaxBatch
	for i, m := range messages {
		all.Go(func() { answers[i], errs[i] = s.handle(ctx, topic, m) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, ErrRejected) {
			return nil, err // our own trouble: all of it comes again
		}
	}
	return join(answers), errors.Join(errs...)
}

// join lets the receipts share publications, in their order. All answers go to
// one terminal, as the batch came from one.
func join(answers [][]Publication) []Publication {
	var out []Publication
	var topic string
	var receipts [][]byte
	size := 0
	flush := func() {
		root, kind := topic, wire.KindReceipt
		body, err := wire.Join(receipts) // of none: an error
		if len(receipts) == 1 {
			body = receipts[0]
		} else {
			kind = wire.KindBatch
		}
		if err == nil {
			out = append(out, Publication{root + string(kind), body})
		}
		receipts, size = nil, 0
	}
	for _, p := range slices.Concat(answers...) {
		root, ok := strings.CutSuffix(p.Topic, string(wire.KindReceipt))
		if !ok {
			out = append(out, p)
			continue
		}
		if len(receipts) == wire.MaxBatch || size+len(p.Payload)+1 > wire.MaxMessage {
			flush()
		}
		topic, receipts, size = root, append(receipts, p.Payload), size+len(p.Payload)+1
	}
	flush()
	return out
}
