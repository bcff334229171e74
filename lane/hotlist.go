package lane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/emv"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/queue"
	"tapkeeper/uplink/wire"
)

// hotlistAge is how old a hotlist's message may be, by its own time. A wallet sends
// a new one for each state that asks, so that an older one was held back. It bounds a
// message, not a list: changes of long ago still lead to the list of today.
const hotlistAge = time.Hour

// askAgain bounds how often a gap makes this terminal tell its state at once: a
// wallet that answers with another gap is not asked in a circle.
const askAgain = 10 * time.Second

// Why an order of the wallet was not taken, for counters and logs; beside those of
// wire.Fault.
const (
	orderIgnored  = "ignored"     // config and command: not carried out by this version
	orderExpired  = "expired"     // its message is too old, or of the future
	orderNotNewer = "not_newer"   // the version in force, or an older one
	orderGap      = "gap"         // of another base: the state tells the wallet which
	orderIssued   = "issued_at"   // after its message, or before the list in force
	orderTooLong  = "too_long"    // the list would exceed what is kept
	orderNotKept  = "not_kept"    // the journal does not take it now; the next state asks again
	orderRIDName  = "other_rid"   // a CRL by a CA key of another RID than it speaks of
	orderBadCRL   = "malformed"   // signed by the CA, and not a list
	orderUnknown  = "unknown_key" // the CA key is none of this terminal's
)

// hotlist is what is in force of the files and of what the wallet sent, the newer of
// each part. What the wallet sent is in the journal before it counts (I15): one commit
// brings it, so that a kill leaves the old list or the new one, and it goes where the
// journal goes.
type hotlist struct {
	store *queue.Store
	clock *clock
	keys  []emv.CAKey
	log   zerolog.Logger
	told  func() // the version in force has changed

	taking sync.Mutex // one message at a time; guards asked
	asked  time.Time  // when a gap last made the state be told

	mu      sync.RWMutex // guards what follows
	list    *bundle.Hotlist
	refused map[string]int64
	last    string
}

func openHotlist(store *queue.Store, clock *clock, d data, log zerolog.Logger) (*hotlist, error) {
	h := &hotlist{store: store, clock: clock, keys: d.bundle.Terminal.CAKeys, log: log, list: d.hotlist, refused: map[string]int64{}, told: func() {}}
	sent, err := storedHotlist(store)
	if err != nil {
		return nil, &PartError{"hotlist", err}
	}
	if sent != nil {
		h.list = d.hotlist.Newer(sent)
	}
	return h, nil
}

func (h *hotlist) inForce() *bundle.Hotlist {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.list
}

// applied tells the wallet from where to send. Configuration and commands are not
// taken by this version.
func (h *hotlist) applied() *wire.Applied {
	list := h.inForce()
	return &wire.Applied{Revocations: uint64(list.CRLVersion), Exceptions: uint64(list.ExceptionsVersion)}
}

// refuse counts what was not taken.
func (h *hotlist) refuse(what, why string, err error) {
	h.mu.Lock()
	h.refused[why]++
	h.last = fmt.Sprintf("%s: %v", what, err)
	h.mu.Unlock()
	h.log.Warn().Err(err).Str("order", what).Str("fault", why).Msg("an order of the wallet is not taken; what was in force stays")
}

// ignore says of an order that this version does not carry it out.
func (h *hotlist) ignore(kind wire.Kind) {
	h.refuse(string(kind), orderIgnored, errors.New("this version does not carry it out"))
}

// take applies a hotlist. Its parts are signed by different keys, and each is taken
// or refused by itself. What is refused is not worth another delivery: the state
// tells what is in force, and the wallet sends what is newer.
func (h *hotlist) take(ctx context.Context, m *wire.Message) {
	h.taking.Lock()
	defer h.taking.Unlock()
	d := m.Data.(wire.Hotlist)
	if err := h.timely(m.Time, time.Now()); err != nil {
		h.refuse("hotlist", orderExpired, err)
		return
	}
	before := h.inForce()
	next := before
	if d.Exceptions != nil {
		if list, why, err := withExceptions(next, d.Exceptions, m.Time); err != nil {
			h.refuse("exceptions", why, err)
			h.ask(why)
		} else {
			next = list
		}
	}
	if d.Revocations != "" {
		if list, why, err := withRevocations(next, d.Revocations, h.keys, m.Time); err != nil {
			h.refuse("revocations", why, err)
			h.ask(why)
		} else {
			next = list
		}
	}
	if next == before {
		return
	}
	if err := keepHotlist(ctx, h.store, before, next); err != nil {
		h.refuse("hotlist", orderNotKept, err)
		return
	}
	h.mu.Lock()
	h.list = next
	h.mu.Unlock()
	h.log.Info().Int64("revocations", next.CRLVersion).Int64("exceptions", next.ExceptionsVersion).Msg("a newer hotlist is in force")
	h.told()
}

// ask has the state told after a gap, so that the wallet sends what lies between.
func (h *hotlist) ask(why string) {
	if why == orderGap && time.Since(h.asked) > askAgain {
		h.asked = time.Now()
		h.told()
	}
}

// timely holds a message's time against the clock, once that is to be trusted.
func (h *hotlist) timely(at, now time.Time) error {
	if !h.clock.Trusted(now) {
		return nil // versions and signatures hold without a clock
	}
	if age := now.Sub(at); age > hotlistAge || age < -maxDrift {
		return fmt.Errorf("a message of %s, now it is %s", at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// status is the hotlist at a glance.
func (h *hotlist) status() HotlistStatus {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return HotlistStatus{
		CRLVersion: h.list.CRLVersion, CRLIssued: h.list.CRLIssued, Revoked: h.list.Revokes(),
		ExceptionsVersion: h.list.ExceptionsVersion, ExceptionsIssued: h.list.ExceptionsIssued, Blocked: h.list.Blocks(),
		Refused: maps.Clone(h.refused), LastRefused: h.last,
	}
}
