package terminal

import "context"

// WatchedField is a Field that knows beforehand whether a phone held to it
// would be seen. A payment is then refused before it is created (I16), instead
// of waiting for a tap that cannot come.
type WatchedField interface {
	Field
	// Ready returns an error that is ErrNoField when no tap can be seen now. It
	// returns within a second or so, also when it cannot know yet.
	Ready(ctx context.Context) error
}

// fieldReady asks a field that can tell. A reader that is unplugged later is
// waited for: it may be plugged in again before the payment expires.
func (t *Terminal) fieldReady(ctx context.Context) error {
	if f, ok := t.field.(WatchedField); ok {
		return f.Ready(ctx)
	}
	return nil
}
