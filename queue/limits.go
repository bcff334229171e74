package queue

import (
	"errors"
	"fmt"
	"slices"
)

// Limits of one commit. Together they keep the largest stored value below
// Badger's value threshold (so that nothing goes to its value log, which is
// never collected) and the largest batch below Badger's limit of a transaction.
const (
	maxValue   = 32 << 10  // bytes of a record, an event or the body of an entry; a message is 4 to 8 KiB
	maxName    = 255       // bytes of a key, an id, a group or a counter's name; an idempotency key may have 255
	maxKind    = 32        // bytes of a kind: a word
	maxReason  = 1 << 10   // bytes of the reason of a parked entry: a sentence, not a dump
	maxChanges = 100       // changes of one commit; a payment needs about ten
	maxCommit  = 256 << 10 // bytes that one commit may write

	maxBatch      = 256       // commits of one transaction and one sync; more gave no more per second
	maxBatchBytes = 768 << 10 // a batch takes no further commit above this: Badger takes 15 % of memTableSize
	maxBatchCells = 8000      // likewise: Badger takes about 13,000 keys
)

var errNoEvent = errors.New("commit without an event")

// check refuses what no state of the store could make right.
func (c *Commit) check() error {
	n := len(c.Records) + len(c.Entries) + len(c.Done) + len(c.Park) + len(c.Hold) + len(c.Release) + len(c.Counts)
	switch {
	case len(c.Event) == 0:
		return errNoEvent
	case len(c.Event) > maxValue:
		return fmt.Errorf("event of %d bytes: at most %d", len(c.Event), maxValue)
	case n > maxChanges || len(c.Guards) > maxChanges:
		return fmt.Errorf("commit of %d changes and %d guards: at most %d", n, len(c.Guards), maxChanges)
	}
	for _, g := range c.Guards {
		if err := checkName("guard", g.Kind, g.Key); err != nil {
			return err
		}
	}
	if err := c.checkRecords(); err != nil {
		return err
	}
	for _, e := range c.Entries {
		if err := e.check(); err != nil {
			return err
		}
	}
	for _, p := range slices.Concat(c.Park, c.Hold) {
		if p.Reason == "" || len(p.Reason) > maxReason {
			return fmt.Errorf("park %.40q: reason of %d bytes: want 1 to %d", p.ID, len(p.Reason), maxReason)
		}
	}
	for _, n := range c.Counts {
		if n.Name == "" || len(n.Name) > maxName {
			return fmt.Errorf("counter name of %d bytes: want 1 to %d", len(n.Name), maxName)
		}
		if n.Cap < 0 {
			return fmt.Errorf("counter %s: negative cap", n.Name)
		}
	}
	return nil
}

func (c *Commit) checkRecords() error {
	seen := make(map[[2]string]bool, len(c.Records))
	for _, r := range c.Records {
		if err := checkName("record", r.Kind, r.Key); err != nil {
			return err
		}
		if len(r.Value) > maxValue {
			return fmt.Errorf("record %s: value of %d bytes: at most %d", join(r.Kind, r.Key), len(r.Value), maxValue)
		}
		id := [2]string{r.Kind, r.Key}
		if seen[id] {
			return fmt.Errorf("record %s: twice in one commit", join(r.Kind, r.Key))
		}
		seen[id] = true
	}
	return nil
}

func (e *Entry) check() error {
	if err := checkName("entry", e.Kind, e.ID); err != nil {
		return err
	}
	if len(e.Group) > maxName {
		return fmt.Errorf("entry %s: group of %d bytes: at most %d", e.ID, len(e.Group), maxName)
	}
	if e.Priority >= priorities {
		return fmt.Errorf("entry %s: no priority %d", e.ID, e.Priority)
	}
	if e.Seal == nil {
		return fmt.Errorf("entry %s: no Seal", e.ID)
	}
	return nil
}

// checkName wants a kind of printable ASCII, because kinds stay readable on
// the disk and end at a zero byte there.
func checkName(what, kind, key string) error {
	if kind == "" || len(kind) > maxKind {
		return fmt.Errorf("%s: kind of %d bytes: want 1 to %d", what, len(kind), maxKind)
	}
	for i := range len(kind) {
		if kind[i] <= ' ' || kind[i] > '~' {
			return fmt.Errorf("%s: kind %q: want printable ASCII", what, kind)
		}
	}
	if key == "" || len(key) > maxName {
		return fmt.Errorf("%s of kind %s: key of %d bytes: want 1 to %d", what, kind, len(key), maxName)
	}
	return nil
}
