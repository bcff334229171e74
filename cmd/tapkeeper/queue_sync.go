package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tapkeeper/till"
)

// syncLook is how often the outbox is looked at: as often as a person's eye.
const syncLook = 250 * time.Millisecond

// progress is how far a sync got.
type progress struct {
	Settled int  `json:"settled"` // taken out of the outbox since the start, by the wallet's receipts
	Sent    int  `json:"sent"`    // on their way, without a receipt yet
	Left    int  `json:"left"`    // waiting, sent or not
	Parked  int  `json:"parked"`  // set aside, refused or held
	Done    bool `json:"done"`
}

func newQueueSync(s *shared) *cobra.Command {
	var wait bool
	var patience time.Duration
	c := &cobra.Command{
		Use: "sync", Short: "Send now what waits for its next try",
		Long: `Connect to the wallet and send at once what waits for its next try.

With --wait it shows how it goes, until the outbox is empty or nothing has moved for a
while: one line that changes on a terminal, a line for each change elsewhere, a line of JSON
with --json. Exit status 0: nothing waits any more. 69: something does.`,
		Example: "  tapkeeper queue sync --wait",
		Args:    positional(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			client := till.NewClient(s.socket)
			q, err := client.Sync(c.Context())
			if err != nil {
				return err
			}
			show := shower(c.OutOrStdout(), s.json)
			m := meter{left: q.Total}
			if !wait {
				return show(m.take(q), true)
			}
			for moved := time.Now(); ; {
				before := m.seen
				p := m.take(q)
				p.Done = p.Left == 0
				if p != before {
					moved = time.Now()
				}
				stuck := time.Since(moved) > patience
				if err := show(p, p.Done || stuck); err != nil || p.Done {
					return err
				}
				if stuck {
					return &failure{exitUnavailable, fmt.Errorf("%d messages still wait, and nothing moved for %s", p.Left, patience), "tapkeeper status says whether the wallet is there; nothing is lost, they go when it is"}
				}
				select {
				case <-c.Context().Done():
					return c.Context().Err()
				case <-time.After(syncLook):
				}
				if q, err = client.Queue(c.Context(), ""); err != nil {
					return err
				}
			}
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "show how it goes until nothing waits or nothing moves")
	c.Flags().DurationVar(&patience, "patience", 15*time.Second, "with --wait, how long nothing may move")
	return c
}

// meter counts what left the outbox between two looks. What came in meanwhile is
// not told from it: the least is counted.
type meter struct {
	left, settled int
	seen          progress
}

func (m *meter) take(q till.Queue) progress {
	m.settled += max(0, m.left-q.Total)
	m.left = q.Total
	m.seen = progress{Settled: m.settled, Sent: q.Sent, Left: q.Total, Parked: len(q.Parked)}
	return m.seen
}

// shower shows progress where it changed: live for eyes, else line by line.
func shower(w io.Writer, asJSON bool) func(p progress, last bool) error {
	var shown *progress
	f, isFile := w.(*os.File)
	live := isFile && term.IsTerminal(int(f.Fd())) && !asJSON
	return func(p progress, last bool) error {
		same := shown != nil && *shown == p
		shown = &p
		var err error
		switch {
		case same && !(live && last):
		case asJSON:
			var line []byte
			if line, err = json.Marshal(p); err == nil {
				_, err = fmt.Fprintf(w, "%s\n", line)
			}
		case live:
			end := ""
			if last {
				end = "\n"
			}
			_, err = fmt.Fprintf(w, "\r\x1b[K%s%s", p, end)
		default:
			_, err = fmt.Fprintln(w, p)
		}
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			return fmt.Errorf("show the progress: %w", err)
		}
		return err
	}
}

func (p progress) String() string {
	return fmt.Sprintf("%d settled, %d sent, %d left, %d parked", p.Settled, p.Sent, p.Left, p.Parked)
}
