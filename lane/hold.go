package lane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapkeeper/queue"
	"tapkeeper/terminal"
)

var (
	// ErrNoEntry: no message of that id is set aside.
	ErrNoEntry = errors.New("no such message is parked or held")
	// ErrNotWaiting: no message of that id waits.
	ErrNotWaiting = errors.New("no such message waits")
)

// Hold keeps a message back, and what comes after it for the same payment, until it
// is released. id is the message's or the payment's. One that was sent already may
// have arrived: its receipt is taken all the same.
func (l *Lane) Hold(ctx context.Context, id, reason, by string) error {
	message := id
	group, err := l.store.Group(id)
	if err != nil {
		return err
	}
	for _, e := range group {
		if e.State == queue.Queued || e.State == queue.Sent {
			message = e.ID
			break
		}
	}
	_, err = l.store.Commit(ctx, queue.Commit{
		Event: act("a message is held back", message, reason, by), Hold: []queue.Park{{ID: message, Reason: reason}},
	})
	if errors.Is(err, queue.ErrConflict) {
		return ErrNotWaiting
	}
	return err
}

// Release lets a message that was set aside go out again. id is the message's, or the
// payment's, whose held messages are meant then.
func (l *Lane) Release(ctx context.Context, id, by string) error {
	aside, err := l.store.Parked()
	if err != nil {
		return err
	}
	for _, e := range aside {
		switch {
		case e.State == queue.Held && (e.ID == id || e.Group == id):
			_, err := l.store.Commit(ctx, queue.Commit{Event: act("a held message may go", e.ID, e.Reason, by), Release: []string{e.ID}})
			if errors.Is(err, queue.ErrConflict) {
				return ErrNoEntry
			}
			return err
		case e.ID == id:
			return l.releaseParked(ctx, e)
		}
	}
	return ErrNoEntry
}

// releaseParked asks the terminal, which knows whether it may take the money twice.
func (l *Lane) releaseParked(ctx context.Context, e queue.Stored) error {
	payment, err := terminal.ParseID(e.Group)
	if err != nil {
		return fmt.Errorf("message %s: %w", e.ID, err)
	}
	message, err := terminal.ParseID(e.ID)
	if err != nil {
		return fmt.Errorf("message %s: %w", e.ID, err)
	}
	return l.terminal.Release(ctx, payment, message)
}

// act is the event of what a person does to a message.
func act(why, message, reason, by string) []byte {
	event, err := json.Marshal(map[string]any{"at": time.Now(), "why": why, "message": message, "reason": reason, "by": by})
	if err != nil {
		return []byte(`{"why":"a message was set aside or released"}`) // strings and a time always have a form
	}
	return event
}

// Group lists the messages of a payment that are in the outbox.
func (l *Lane) Group(payment string) ([]queue.Stored, error) { return l.store.Group(payment) }

// Outbox counts the messages by their state.
func (l *Lane) Outbox() queue.Depth { return l.store.Outbox() }
