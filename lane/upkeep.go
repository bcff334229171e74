package lane

import (
	"context"
	"time"

	"tapkeeper/queue"
	"tapkeeper/terminal"
)

const pruneEvery = 6 * time.Hour

// VerifyJournal walks the whole journal while the lane runs.
func (l *Lane) VerifyJournal() (queue.Report, error) { return l.store.Verify() }

// Disk says how much room the journal has.
func (l *Lane) Disk() (queue.Disk, error) { return l.store.Disk() }

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
