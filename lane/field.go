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
type field struct {
	reader reader.Reader
	// unnamed: the configuration takes the first reader that there is, so that the make, and what the reader itself adds
	// to an exchange (scheme 5.7), is known only when it is there. The kernel's calibration is nothing then.
	unnamed bool
}

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
		return f.calibrated(card), nil
	case errors.Is(err, reader.ErrManyCards):
		return nil, terminal.ErrManyPhones
	case errors.Is(err, reader.ErrClosed), errors.Is(err, reader.ErrReaderGone):
		return nil, fmt.Errorf("%w: %w", terminal.ErrNoField, err)
	}
	return nil, err
}

// calibrated takes the reader's own time off each exchange when the kernel cannot.
func (f field) calibrated(card reader.Card) terminal.Phone {
	made, ok := f.reader.(interface{ Model() *reader.Model })
	if !f.unnamed || !ok {
		return card
	}
	if m := made.Model(); m != nil && m.RelayOffset > 0 {
		return offset{card, m.RelayOffset}
	}
	return card
}

// offset is a phone whose times are without those of the reader.
type offset struct {
	terminal.Phone
	by time.Duration
}

func (o offset) Transmit(ctx context.Context, command []byte) ([]byte, time.Duration, error) {
	answer, took, err := o.Phone.Transmit(ctx, command)
	return answer, max(0, took-o.by), err
}
