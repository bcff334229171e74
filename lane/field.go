package lane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/reader"
	"tapkeeper/terminal"
)

// field lets phones be tapped on a reader.
type field struct{ reader reader.Reader }

var _ terminal.WatchedField = field{}

const (
	// settleTime is what a reader gets to find out about itself after a start.
	settleTime = time.Second
	// settleLook is how often it is asked meanwhile.
	settleLook = 20 * time.Millisecond
)

// Ready implements terminal.WatchedField.
func (f field) Ready(ctx context.Context) error {
	watched, ok := f.reader.(reader.Stater)
	if !ok {
		return nil
	}
	state := watched.State()
	for until := time.Now().Add(settleTime); state == reader.Starting && time.Now().Before(until); state = watched.State() {
		select {
		case <-time.After(settleLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !state.Usable() {
		return fmt.Errorf("%w: %s: %s", terminal.ErrNoField, f.reader.Name(), state)
	}
	return nil
}

func (f field) Await(ctx context.Context) (terminal.Phone, error) {
	card, err := f.reader.Await(ctx)
	switch {
	case err == nil:
		return card, nil
	case errors.Is(err, reader.ErrManyCards):
		return nil, terminal.ErrManyPhones
	case errors.Is(err, reader.ErrClosed), errors.Is(err, reader.ErrReaderGone):
		return nil, fmt.Errorf("%w: %w", terminal.ErrNoField, err)
	}
	return nil, err
}
