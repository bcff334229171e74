package terminal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
)

// keyOldCopy is under kindAnchor: what the wallet keeps and the journal does not
// hold. It outlives a restart, also of a terminal that is offline then.
const keyOldCopy = "old-copy"

// Heads is what an echo tells the wallet, as an anchor outside of this machine:
// how far the journal is, and that it holds what the wallet keeps.
func (t *Terminal) Heads() wire.Heads {
	if t.chain == nil {
		return wire.Heads{}
	}
	seq, hash := t.chain.Head()
	if seq == 0 {
		return wire.Heads{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return wire.Heads{Head: &wire.Head{Sequence: seq, Hash: hash}, Known: t.known}
}

// anchored compares what the wallet keeps of the journal with the journal.
func (t *Terminal) anchored(ctx context.Context, kept *wire.Head) error {
	if t.chain == nil {
		return nil
	}
	holds, err := t.holds(kept)
	if err != nil {
		return fmt.Errorf("read the chain for the wallet's anchor: %w", err)
	}
	t.mu.Lock()
	was := t.oldCopy
	if holds {
		t.known = kept
	}
	t.mu.Unlock()
	if holds == !was {
		return nil // nothing new
	}
	c := Commit{Records: []Record{{kindAnchor, keyOldCopy, nil}}}
	why := "the journal holds what the wallet keeps of it; payments are taken again"
	if !holds {
		c.Records[0].Value = mustJSON(kept)
		why = fmt.Sprintf("the wallet was told of event %d, which this journal does not hold: an older copy; no payment is taken", kept.Sequence)
	}
	c.Event = mustJSON(Step{At: time.Now(), Why: why})
	t.mu.Lock()
	t.oldCopy = !holds // before the commit: no payment must be taken while it is kept
	t.mu.Unlock()
	if _, err = t.commit(ctx, c); errors.Is(err, ErrStorage) {
		return nil // known until a restart; a full disk takes no payments either
	}
	return err
}

// holds says whether the chain has the wallet's head in it.
func (t *Terminal) holds(kept *wire.Head) (bool, error) {
	if kept == nil {
		return true, nil
	}
	t.mu.Lock()
	known := t.known != nil && *t.known == *kept
	t.mu.Unlock()
	if known {
		return true, nil
	}
	head, _ := t.chain.Head()
	if kept.Sequence > head {
		return false, nil
	}
	same := false
	err := t.chain.Links(kept.Sequence, func(l Link) error {
		same = l.Seq == kept.Sequence && bytes.Equal(l.Hash[:], kept.Hash[:])
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return same, err
}

// recoverAnchor reads whether the journal was found to be an older copy.
func (t *Terminal) recoverAnchor() error {
	raw, ok, err := t.journal.Get(kindAnchor, keyOldCopy)
	if err != nil || !ok {
		return err
	}
	var kept wire.Head
	if err := json.Unmarshal(raw, &kept); err != nil {
		return fmt.Errorf("read the wallet's anchor: %w", err)
	}
	t.mu.Lock()
	t.oldCopy = true
	t.mu.Unlock()
	return nil
}

func (t *Terminal) isOldCopy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.oldCopy
}
