package pcsc

import (
	"context"
	"errors"
	"sync"
	"time"

	"tapkeeper/reader"
)

const (
	// connectTimeout bounds powering a card. Readers take up to a second; more is a reader that hangs.
	connectTimeout = 5 * time.Second
	// retryPause is the wait after a card that could not be taken, if no event comes first.
	retryPause = 250 * time.Millisecond
	// releaseTimeout bounds switching the field off, which takes 0.2 ms through pcscd and more on a real reader.
	releaseTimeout = time.Second
	// maxOverdue is how many calls that do not return a reader leaves behind before it waits for one of them. pcscd
	// has 200 contexts for all programs.
	maxOverdue = 3
)

// Reader implements reader.Reader and reader.Stater.
type Reader struct {
	s      *Service
	want   string
	closed chan struct{}

	mu       sync.Mutex
	hand     *hand   // or nil
	overdue  []*hand // let go, and perhaps not ended yet
	card     *card   // the activation that has not been released, or nil
	awaiting bool
	offUntil time.Time
	refused  reason // why the last card was not taken
	isClosed bool
	prepared string // the PC/SC name that was prepared since it was plugged in
	firmware string // its version, "" when it does not tell
	cues     cues
	meter    meter
}

var (
	_ reader.Reader    = (*Reader)(nil)
	_ reader.Stater    = (*Reader)(nil)
	_ reader.Signaller = (*Reader)(nil)
	_ reader.Meter     = (*Reader)(nil)
)

// Name implements reader.Reader.
func (r *Reader) Name() string {
	if r.want == "" {
		return "first contactless PC/SC reader"
	}
	return r.want
}

// State implements reader.Stater.
func (r *Reader) State() reader.State {
	v, _ := r.s.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	sl, found := choose(v.slots, r.want)
	switch {
	case r.isClosed || r.s.stopping():
		return reader.Closed
	case r.card != nil:
		return reader.InUse
	case r.countOverdue() > 0:
		return reader.Wedged
	case !v.known:
		return reader.Starting
	case v.forbidden:
		return reader.Forbidden
	case !v.up:
		return reader.NoService
	case !found && r.want != "" && len(candidates(v.slots, r.want)) > 1:
		return reader.Ambiguous
	case !found || sl.phase == away:
		return reader.Missing
	case sl.phase == mute && r.refused == cardLost: // the driver says that there is nothing
		return reader.Ready
	case sl.phase == mute:
		return reader.Mute
	case sl.phase == present && r.refused == held:
		return reader.Held
	case sl.phase == present && r.refused == denied:
		return reader.Forbidden
	case sl.phase == present && r.refused == cardMute:
		return reader.Mute
	case sl.phase == empty && sl.taken:
		return reader.Held
	}
	return reader.Ready
}

// Close implements reader.Reader. The Service goes on.
func (r *Reader) Close() error {
	r.mu.Lock()
	h := r.hand
	if !r.isClosed {
		r.isClosed = true
		close(r.closed)
	}
	r.mu.Unlock()
	r.cues.end()
	if h == nil {
		return nil
	}
	h.letGo()
	select {
	case <-h.ended:
	case <-time.After(releaseTimeout): // a call that nothing can end keeps it
	}
	return nil
}

// Await implements reader.Reader.
func (r *Reader) Await(ctx context.Context) (reader.Card, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	defer r.end()
	seen := time.Now() // when the watch told of this phone, or Await began
	for {
		if err := r.stopped(ctx); err != nil {
			return nil, err
		}
		v, changed := r.s.look()
		sl, found := choose(v.slots, r.want)
		found = found && v.up
		r.prepare(ctx, sl, found)
		dark := r.dark()
		pause := dark
		if dark > 0 {
			seen = time.Now().Add(dark)
		}
		if found && dark <= 0 && (sl.phase == present || sl.doubtful) {
			c, wait := r.attempt(ctx, sl)
			if c != nil {
				c.seen = seen
				return c, nil
			}
			pause = wait
		}
		if r.sleep(ctx, changed, pause) {
			seen = time.Now()
		}
	}
}

// attempt takes the card in a slot, or says when to look again. A card that pcscd may not have seen is let go.
func (r *Reader) attempt(ctx context.Context, sl slot) (*card, time.Duration) {
	proven, wait := r.s.proven(sl)
	if wait > 0 {
		return nil, wait
	}
	c, err := r.take(ctx, sl)
	switch {
	case err == nil && proven:
		r.meter.connect.add(c.powering)
		return c, 0
	case err == nil:
		r.s.found(sl)
		_ = c.Release(0)
	default:
		r.s.refresh()
	}
	return nil, retryPause
}

func (r *Reader) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isClosed || r.s.stopping():
		return reader.ErrClosed
	case r.awaiting || r.card != nil:
		return reader.ErrBusy
	}
	r.awaiting = true
	return nil
}

func (r *Reader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awaiting = false
}

// stopped says why a wait must end, or nil.
func (r *Reader) stopped(ctx context.Context) error {
	select {
	case <-r.closed:
		return reader.ErrClosed
	case <-r.s.stop:
		return reader.ErrClosed
	default:
		return ctx.Err()
	}
}

// dark is how long the field has to stay off.
func (r *Reader) dark() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.offUntil)
}

// sleep ends when the watch has seen something (news), when ctx ends, or after d if it is positive.
func (r *Reader) sleep(ctx context.Context, changed <-chan struct{}, d time.Duration) (news bool) {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-changed:
		return true
	case <-over:
	case <-ctx.Done():
	case <-r.closed:
	case <-r.s.stop:
	}
	return false
}

// take connects the card in a slot. The view of the slot may be a poll old, so a failure is nothing unusual.
func (r *Reader) take(ctx context.Context, sl slot) (*card, error) {
	h, err := r.readyHand()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	model := r.s.Model(sl.name)
	ask := model != nil && !model.Contactless
	start := time.Now()
	err = h.ask(ctx, r.closed, func(g *grip) reply { return g.connect(sl.name, sl.doubtful, ask) }).err
	powering := time.Since(start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = why(err)
	switch r.refused {
	case none, held, serviceLost, readerLost, denied:
	default: // also a call that was given up, and fails behind our back
		r.s.doubt(sl)
	}
	if err != nil {
		return nil, err
	}
	r.card = &card{r: r, h: h, powering: powering}
	return r.card, nil
}

var errOverdue = errors.New("too many calls to the reader have not returned")

// readyHand returns the hand of this reader, a new one if the last was let go.
func (r *Reader) readyHand() (*hand, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return nil, reader.ErrClosed
	}
	if r.hand != nil {
		select {
		case <-r.hand.quit:
			r.overdue = append(r.overdue, r.hand)
			r.hand = nil
		default:
			return r.hand, nil
		}
	}
	if r.countOverdue() >= maxOverdue {
		return nil, errOverdue
	}
	r.hand = newHand(r.s.system)
	return r.hand, nil
}

// countOverdue forgets the hands that have ended meanwhile.
func (r *Reader) countOverdue() int {
	left := r.overdue[:0]
	for _, h := range r.overdue {
		if !h.hasEnded() {
			left = append(left, h)
		}
	}
	r.overdue = left
	return len(left)
}
