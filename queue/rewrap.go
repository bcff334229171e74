package queue

import (
	"context"
	"errors"
	"fmt"
)

// migrations bring a store from an older format to the next one, each by commits
// of its own that may be repeated after a crash. They run when the store is open
// and before anybody else uses it; the format is written when they are through.
// There is none yet: 2 is the first format that is released.
var migrations = map[byte]func(*Store) error{}

// migrate brings a store that was opened to the present format.
func (s *Store) migrate(master []byte) error {
	if s.anchor.format == format {
		return nil
	}
	for f := s.anchor.format; f != format; f++ {
		if err := migrations[f](s); err != nil {
			return fmt.Errorf("bring the journal from format %d to %d: %w", f, f+1, err)
		}
	}
	return s.anchor.rewrap(master, master)
}

// Rewrap makes next the master key that opens the store, in place of master, and
// nothing else: the data key stays. Commits go on meanwhile. After ErrUnknown, and
// after a crash on the way, one of the two keys opens the store, and opening it
// settles which: keep both until Rewrap has returned nil.
func (s *Store) Rewrap(ctx context.Context, master, next []byte) error {
	if len(next) != 32 {
		return fmt.Errorf("%w: the next one has %d bytes, want 32", ErrKey, len(next))
	}
	_, err := s.hand(ctx, &request{answer: make(chan answer, 1), work: func() error {
		err := s.anchor.rewrap(master, next)
		if err != nil && !errors.Is(err, ErrKey) {
			s.broken.Store(true)
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return err
	}})
	return err
}

// rewrap writes one copy of the key after the other, so that at any moment one of
// them is whole.
func (a *anchor) rewrap(master, next []byte) error {
	all := make([]byte, pageCount*pageSize)
	if _, err := a.pages.ReadAt(all, 0); err != nil {
		return fmt.Errorf("read the wrapped key: %w", err)
	}
	// Both copies must be whole before one is written over: a damaged one is
	// mended here as when the store is opened.
	dataKey, err := a.loadKey(all, master)
	if err != nil {
		return err
	}
	if _, err := a.pages.ReadAt(all, 0); err != nil {
		return fmt.Errorf("read the wrapped key: %w", err)
	}
	page := all[keyPages[0]*pageSize:][:keyPageLen]
	defer clear(dataKey)
	head := page[:keyHeadLen:keyHeadLen]
	head[len(keyMagic)] = format
	fresh, err := wrapKey(next, head, dataKey)
	if err != nil {
		return err
	}
	for _, p := range keyPages {
		if err := a.writePage(p, fresh); err != nil {
			return fmt.Errorf("write the wrapped key: %w", err)
		}
	}
	a.format = format
	return nil
}
