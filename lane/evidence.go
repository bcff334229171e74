package lane

import (
	"context"

	"tapkeeper/queue"
	"tapkeeper/terminal"
)

var _ terminal.Chain = journal{}

// Links reads the queue's chain.
func (j journal) Links(from uint64, fn func(terminal.Link) error) error {
	return j.store.Events(from, func(e queue.Event) error {
		return fn(terminal.Link{Seq: e.Seq, Prev: e.Prev, Hash: e.Hash, Payload: e.Payload, Changes: e.Changes})
	})
}

// Head is where the queue's chain ends.
func (j journal) Head() (uint64, [32]byte) {
	h := j.store.Head()
	return h.Seq, h.Hash
}

// Evidence writes the evidence file of a payment for by, who asked for it.
func (l *Lane) Evidence(ctx context.Context, id terminal.ID, by string) ([]byte, error) {
	return l.terminal.Evidence(ctx, id, by)
}
