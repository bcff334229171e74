package uplink

import (
	"context"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
)

// serve lives as long as the connection: it sends echoes and states.
func (s *session) serve(ctx context.Context) error {
	rhythm := newRhythm(s.link.cfg.Timing.Echo)
	echo := time.NewTimer(s.link.jitter(rhythm.next(false)))
	defer echo.Stop()
	state := time.NewTicker(s.link.cfg.Timing.State)
	defer state.Stop()
	renewal := newRenewal(s)
	defer renewal.ticker.Stop()
	err := s.echo(ctx)
	for err == nil && ctx.Err() == nil {
		select {
		case <-s.link.quiet:
			rhythm.wait.reset()
			echo.Reset(s.link.jitter(rhythm.next(false)))
		case <-echo.C:
			err = s.echo(ctx)
			echo.Reset(s.link.jitter(rhythm.next(s.link.Connected())))
		case <-state.C:
			err = s.publishState(ctx, true)
		case <-s.link.tell:
			err = s.publishState(ctx, true)
		case <-renewal.ticker.C:
			if renewal.due(time.Now()) {
				s.saidGoodbye = true // DISCONNECT, no will: we are back at once
				return errRenew
			}
		case <-s.lost:
			return s.why
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return s.sayGoodbye(context.WithoutCancel(ctx))
	}
	return s.cause(err)
}

// rhythm is when echoes go out: as seldom as Timing says while the wallet is
// heard; ten times as often when it is not, then seldomer again.
type rhythm struct {
	seldom time.Duration
	wait   backoff
}

func newRhythm(seldom time.Duration) *rhythm {
	return &rhythm{seldom: seldom, wait: backoff{first: seldom / 10, max: seldom}}
}

func (r *rhythm) next(heard bool) time.Duration {
	if heard {
		r.wait.reset()
		return r.seldom
	}
	return r.wait.next()
}

// sayGoodbye replaces the retained state before DISCONNECT, after which a broker
// sends no will.
func (s *session) sayGoodbye(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	err := s.publishState(ctx, false)
	s.saidGoodbye = err == nil
	return err
}

// echo asks the wallet for a sign of life. The answer is noticed where every
// answer is; the question is forgotten after two intervals.
func (s *session) echo(ctx context.Context) error {
	l := s.link
	h := l.header()
	var e wire.Echo
	if l.cfg.Heads != nil {
		e.Heads = l.cfg.Heads()
	}
	jws, err := l.cfg.Terminal.Seal(h, e)
	if err != nil {
		return fmt.Errorf("seal echo: %w", err)
	}
	q := &question{digest: wire.DigestOf(jws)}
	l.mu.Lock()
	l.open[h.ID] = q
	l.mu.Unlock()
	time.AfterFunc(2*l.cfg.Timing.Echo, func() { l.forget(h.ID, q) })
	return s.publish(ctx, l.cfg.Terminal.Address().UpTopic(wire.KindEcho), jws, false)
}

func (s *session) publishState(ctx context.Context, online bool) error {
	jws, err := s.state(online)
	if err != nil {
		return err
	}
	return s.publish(ctx, s.link.cfg.Terminal.Address().UpTopic(wire.KindState), jws, true)
}

// state is the birth and heartbeat, or the last will and goodbye.
func (s *session) state(online bool) ([]byte, error) {
	cfg := &s.link.cfg
	jws, err := cfg.Terminal.Seal(s.link.header(), wire.State{
		Online: online, Session: s.number, Since: wire.At(s.since),
		Version: cfg.Version, Waiting: cfg.Waiting(), Applied: cfg.Applied(),
	})
	if err != nil {
		return nil, fmt.Errorf("seal state: %w", err)
	}
	return jws, nil
}
