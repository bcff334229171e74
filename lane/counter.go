package lane

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"tapkeeper/queue"
	"tapkeeper/queue/vault"
	"tapkeeper/terminal"
)

const (
	// countEvery is how much of a day an older copy may hide: 9,000 writes a year, of the
	// hundred thousands that a TPM's memory bears.
	countEvery = time.Hour
	// countGap keeps a daemon that is started again and again from wearing it out.
	countGap   = time.Minute
	keyCounter = "tpm counter"
)

// CounterError says that the TPM's counter and the journal do not belong together.
// errors.Is(err, terminal.ErrOldCopy): the journal is an older copy.
type CounterError struct {
	Why, Fix string
	older    bool
}

func (e *CounterError) Error() string { return "journal: " + e.Why }

// Is answers for errors.Is.
func (e *CounterError) Is(target error) bool { return e.older && target == terminal.ErrOldCopy }

// tpmCounter holds the journal against a number in the TPM, so that an older copy is
// noticed at the start, without the wallet (docs/durability.md, The TPM's counter).
type tpmCounter struct {
	tpm    *vault.Counter
	store  *queue.Store
	moment func() time.Time // of what was stored last: a count is no news of the time
	at     func(step string)
	mu     sync.Mutex // one count at a time
}

// expected is what the journal knows of the counter.
type expected struct {
	TPM   string    `json:"tpm"` // which one: see vault.Count
	Index uint32    `json:"index"`
	Next  uint64    `json:"next"` // it is here, or one before it; 0: being bound, anything is right
	At    time.Time `json:"at"`
}

// openCounter is nil where no TPM holds the master key.
func openCounter(cfg Config, source *vault.Source, store *queue.Store, moment func() time.Time) *tpmCounter {
	tpm := source.Counter(cfg.Keys.TPMCounter)
	if tpm == nil {
		return nil
	}
	return &tpmCounter{tpm: tpm, store: store, moment: moment, at: func(string) {}}
}

// known reads what the journal knows; nil: nothing.
func (c *tpmCounter) known() (*expected, error) {
	raw, ok, err := c.store.Get(kindLane, keyCounter)
	if err != nil || !ok {
		return nil, err
	}
	var e expected
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("what is kept of the TPM's counter: %w", err)
	}
	return &e, nil
}

// check refuses a journal that the counter has left behind, or that it never counted.
func (c *tpmCounter) check() (e *expected, now vault.Count, err error) {
	if e, err = c.known(); err != nil {
		return nil, now, &PartError{"journal", err}
	}
	if now, err = c.tpm.Read(); err != nil {
		return nil, now, masterError(err)
	}
	if wrong := judge(e, now, c.tpm.Index()); wrong != nil {
		return nil, now, wrong
	}
	return e, now, nil
}

const (
	fixOlder   = "bring the newer data_dir back; if it is lost: docs/operations.md, Another TPM, or an older copy"
	fixRebound = "if this is wanted and the journal is the newest: tapkeeper queue rebind; docs/operations.md, Another TPM, or an older copy"
)

// judge holds what the journal knows against what the TPM says. nil: they belong together.
func judge(e *expected, now vault.Count, index uint32) *CounterError {
	switch {
	case e == nil && now.Value == 0:
		return nil // both are new
	case e == nil:
		return &CounterError{Why: fmt.Sprintf("the TPM has counted for another journal (index %#08x stands at %d), and this one was never counted: it is new, or an older copy", index, now.Value), Fix: fixRebound}
	case e.TPM != hex.EncodeToString(now.TPM):
		return &CounterError{Why: "another TPM has counted for it, or this one was cleared", Fix: fixRebound}
	case e.Index != index:
		return &CounterError{Why: fmt.Sprintf("the TPM's index %#08x has counted for it, not %#08x", e.Index, index), Fix: "set keys.tpm_counter back; or, " + fixRebound}
	case e.Next == 0:
		return nil
	case now.Value == 0:
		return &CounterError{Why: fmt.Sprintf("the TPM's counter (index %#08x) was removed", index), Fix: fixRebound}
	case now.Value > e.Next:
		return &CounterError{Why: fmt.Sprintf("it is an older copy: it was counted to %d, the TPM stands at %d", e.Next, now.Value), Fix: fixOlder, older: true}
	case now.Value < e.Next-1:
		return &CounterError{Why: fmt.Sprintf("it was counted to %d, the TPM stands at %d: the TPM was put back", e.Next, now.Value), Fix: fixRebound}
	}
	return nil
}

// start is the check of a start; a journal and a counter that are both new are
// bound. Only what the check says refuses: a full disk or a chip that does not write
// must not close the shop.
func (c *tpmCounter) start(ctx context.Context) (warning, err error) {
	e, now, err := c.check()
	if err != nil {
		return nil, err
	}
	if e == nil || e.Next == 0 {
		_, warning = c.bind(ctx, now, map[string]any{"at": c.moment(), "why": "the TPM counts the journal from now on"})
	}
	return warning, nil
}

// bind makes the journal and the counter belong together, whatever was before.
func (c *tpmCounter) bind(ctx context.Context, now vault.Count, why map[string]any) (vault.Count, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.write(ctx, expected{TPM: hex.EncodeToString(now.TPM), Index: c.tpm.Index()}, why); err != nil {
		return now, err
	}
	c.at("unbound")
	now, err := c.tpm.Increment()
	if err != nil {
		return now, err
	}
	c.at("first")
	return now, c.write(ctx, expected{hex.EncodeToString(now.TPM), c.tpm.Index(), now.Value, time.Now()}, why)
}

// count counts one up, unless it was counted just now: the journal says first where the
// counter is going, and then it goes there.
func (c *tpmCounter) count(ctx context.Context, gap time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, now, err := c.check()
	if err != nil {
		return err
	}
	if e == nil || e.Next == 0 {
		return errors.New("the TPM does not count the journal yet: the next start tries again")
	}
	if since := time.Since(e.At); since >= 0 && since < gap {
		return nil
	}
	if now.Value == e.Next { // else this was said already, and cut off
		e.Next, e.At = e.Next+1, time.Now()
		if err := c.write(ctx, *e, map[string]any{"at": c.moment(), "why": "the TPM counts the journal"}); err != nil {
			return err
		}
	}
	c.at("said")
	if now, err = c.tpm.Increment(); err != nil {
		return err
	}
	if now.Value != e.Next {
		return fmt.Errorf("the TPM's counter went to %d, %d was expected: somebody else counts at index %#08x", now.Value, e.Next, c.tpm.Index())
	}
	return nil
}

func (c *tpmCounter) write(ctx context.Context, e expected, why map[string]any) error {
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	event, err := json.Marshal(why)
	if err != nil {
		return err
	}
	_, err = c.store.Commit(ctx, queue.Commit{Event: event, Records: []queue.Record{{Kind: kindLane, Key: keyCounter, Value: value}}})
	return err
}

// counting counts at the start, every hour, and at the end: what was copied before is
// an older copy from then on.
func (l *Lane) counting(ctx context.Context) error {
	if l.counter == nil {
		<-ctx.Done()
		return nil
	}
	count := func() {
		if err := l.counter.count(context.WithoutCancel(ctx), countGap); err != nil {
			l.log.Warn().Err(err).Msg("the TPM's counter could not be set: an older copy of the journal may go unnoticed")
		}
	}
	count()
	for wait := time.NewTimer(countEvery); ; wait.Reset(countEvery) {
		select {
		case <-ctx.Done():
			wait.Stop()
			count()
			return nil
		case <-wait.C:
			count()
		}
	}
}
