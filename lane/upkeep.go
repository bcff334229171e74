package lane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/queue"
	"tapkeeper/terminal"
)

const pruneEvery = 6 * time.Hour

// ErrNoEntry: no message of that id is set aside.
var ErrNoEntry = errors.New("no such message is parked or held")

// VerifyJournal walks the whole journal while the lane runs.
func (l *Lane) VerifyJournal() (queue.Report, error) { return l.store.Verify() }

// Disk says how much room the journal has.
func (l *Lane) Disk() (queue.Disk, error) { return l.store.Disk() }

// Release lets a message that was set aside go out again.
func (l *Lane) Release(ctx context.Context, message string) error {
	aside, err := l.store.Parked()
	if err != nil {
		return err
	}
	for _, e := range aside {
		if e.ID != message {
			continue
		}
		payment, err := terminal.ParseID(e.Group)
		if err != nil {
			return fmt.Errorf("message %s: %w", message, err)
		}
		id, err := terminal.ParseID(e.ID)
		if err != nil {
			return fmt.Errorf("message %s: %w", message, err)
		}
		return l.terminal.Release(ctx, payment, id)
	}
	return ErrNoEntry
}

// prune deletes what was kept long enough, a few times a day, by a clock that may
// decide about it.
func (l *Lane) prune(ctx context.Context) error {
	owes := func(p terminal.ID) bool { return l.store.Owes(p.String()) }
	for wait := time.NewTimer(time.Minute); ; wait.Reset(pruneEvery) {
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		now := time.Now()
		if trusted, _ := l.clock.judge(now); !trusted {
			continue
		}
		n, err := l.terminal.Prune(ctx, l.terminal.BusinessDay(now.AddDate(0, 0, -l.cfg.Journal.KeepDays)), owes)
		if err != nil {
			l.log.Warn().Err(err).Int("pruned", n).Msg("old payments could not be deleted")
		} else if n > 0 {
			l.log.Info().Int("pruned", n).Msg("deleted what was kept of old payments")
		}
	}
}
