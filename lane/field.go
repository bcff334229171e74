package lane

import (
	"context"
	"errors"
	"fmt"

	"tapkeeper/reader"
	"tapkeeper/terminal"
)

// field lets phones be tapped on a reader.
type field struct{ reader reader.Reader }

var _ terminal.Field = field{}

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
