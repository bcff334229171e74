package queue

import (
	"context"
	"errors"
	"fmt"
)

// Handover says that a journal goes to another machine, or came from one.
type Handover struct {
	Archive string // names the archive that carries it
	To      string // who can open that
}

// HandedOverError: the journal belongs to another machine. Only Dump, Verify and
// what else reads can be had of it, with Options.HandedOver.
type HandedOverError struct{ Handover }

func (e *HandedOverError) Error() string {
	return fmt.Sprintf("the journal was handed over to %s in archive %s", e.To, e.Archive)
}

// The records that mark a journal. "out" is in its last event: no commit follows.
const (
	handoverKind = "handover"
	handoverOut  = "out"
	handoverIn   = "in"
)

func (h Handover) encode() []byte {
	return appendString(appendString(nil, h.Archive), h.To)
}

func (s *Store) handover(key string) (*Handover, error) {
	value, ok, err := s.Get(handoverKind, key)
	if err != nil || !ok {
		return nil, err
	}
	p := parser{rest: value}
	h := &Handover{Archive: p.string(), To: p.string()}
	if err := p.end(); err != nil {
		return nil, &DamageError{What: "record", Kind: handoverKind, Key: key, Why: err.Error()}
	}
	return h, nil
}

// ArrivedBy names the archive that this journal came in; "" when it began here.
func (s *Store) ArrivedBy() (archive string, err error) {
	h, err := s.handover(handoverIn)
	if h == nil {
		return "", err
	}
	return h.Archive, nil
}

// HandOver makes event the last one of this journal: from here on it belongs to who
// opens the archive. Nothing is committed any more, and Open refuses. To hand it over
// again to the same gives the first Handover, so that an archive that was lost on
// the way can be written again; to anybody else it is a *HandedOverError. No commit
// may be under way.
func (s *Store) HandOver(ctx context.Context, h Handover, event []byte) (Handover, error) {
	before, err := s.handover(handoverOut)
	switch {
	case err != nil:
		return h, err
	case before != nil && before.To != h.To:
		return *before, &HandedOverError{*before}
	case before != nil:
		return *before, nil
	}
	c := Commit{
		Guards: []Guard{{handoverKind, handoverOut, nil}}, Event: event,
		Records: []Record{{handoverKind, handoverOut, h.encode()}},
	}
	if err := c.check(); err != nil {
		return h, err
	}
	s.gone.Store(&HandedOverError{h}) // before the commit: nothing may come after it
	_, err = s.hand(ctx, &request{commit: c, answer: make(chan answer, 1)})
	if err != nil && !errors.Is(err, ErrUnknown) {
		s.gone.Store(nil)
	}
	return h, err
}

// refuseHandedOver is the last step of opening.
func (s *Store) refuseHandedOver(allowed bool) error {
	h, err := s.handover(handoverOut)
	if err != nil || h == nil {
		return err
	}
	s.gone.Store(&HandedOverError{*h})
	if allowed {
		return nil
	}
	return &HandedOverError{*h}
}
