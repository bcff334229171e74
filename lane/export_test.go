package lane

import (
	"github.com/rs/zerolog"

	"tapkeeper/queue"
	"tapkeeper/terminal"
)

// Receiver is what takes the wallet's messages.
type Receiver = receiver

// OpenWith is Open with a test between the parts.
func OpenWith(cfg Config, log zerolog.Logger, parts func(terminal.Parts) terminal.Parts, receive func(Receiver) Receiver) (*Lane, error) {
	return open(cfg, "test", log, seams{parts, receive})
}

// Verify reads the whole journal.
func (l *Lane) Verify() (queue.Report, error) { return l.store.Verify() }
