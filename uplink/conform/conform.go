// Package conform plays terminals against a wallet's backend and tells, case by
// case, whether it keeps the contract of docs/wallet-link.md.
//
// It promises to judge by what is published alone: it knows no backend, looks into
// no ledger, and takes nothing for an answer that package wire would not. Each case
// names the rule that it tests and may be run alone. What a backend must prepare
// is a [Kit]: three enrolled terminals and six test cards.
//
// It refuses to be pointed at live money: the kit's keys lie in files, and the cases
// pay, reverse and refund with them. It drives no reader and tests no terminal.
package conform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// defaultPatience is how long an answer may take: what a terminal waits at a
	// till, with room for a slow test machine.
	defaultPatience = 5 * time.Second
	// defaultQuiet is how long silence is listened to after a later message was
	// answered: then the backend has looked at the earlier one.
	defaultQuiet = 300 * time.Millisecond
)

// Config of a run. Broker and Kit are needed.
type Config struct {
	Broker         string // mqtt://HOST:PORT or mqtts://HOST:PORT
	TLS            *tls.Config
	User, Password string
	Kit            *Kit
	Only           []int         // numbers of cases; none: all
	Core           bool          // leave out what needs a judge of evidence records
	Patience       time.Duration // for an answer, 5 s by default
	Quiet          time.Duration // to believe that none comes, 300 ms by default
	// Restart stops the backend hard and starts it again. Without it the cases
	// that need it are skipped.
	Restart  func(context.Context) error
	Progress func(Result)                       // told of each case
	Seen     func(topic string, payload []byte) // told of all that the wallet publishes to the kit's terminals
}

// ErrSilent: whatever is behind the broker does not answer the kit's terminals.
var ErrSilent = errors.New("nobody answers an echo of the kit's terminal")

// Outcome of a case.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Result is what came out of one case.
type Result struct {
	Number  int           `json:"number"`
	Name    string        `json:"name"`
	Rule    string        `json:"rule"` // the section of docs/wallet-link.md
	Outcome Outcome       `json:"outcome"`
	Why     string        `json:"why,omitempty"` // of a failure or a skip
	Took    time.Duration `json:"-"`
	TookMS  int64         `json:"took_ms"`
}

// Report is what came out of a run.
type Report struct {
	Broker  string    `json:"broker"`
	Began   time.Time `json:"began"`
	Passed  int       `json:"passed"`
	Failed  int       `json:"failed"`
	Skipped int       `json:"skipped"`
	Cases   []Result  `json:"cases"`
}

// Run plays the cases, one after the other. An error means that they could not be
// played: the broker or the kit is not usable, or nobody answers. That a case failed
// is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Kit == nil {
		return nil, errors.New("conform: needs a kit")
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.Quiet == 0 {
		cfg.Quiet = defaultQuiet
	}
	cases, err := selected(cfg)
	if err != nil {
		return nil, err
	}
	r, err := newRunner(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.probe(ctx); err != nil {
		return nil, err
	}
	report := &Report{Broker: cfg.Broker, Began: r.began}
	for _, c := range cases {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		report.add(r.play(ctx, c))
		if cfg.Progress != nil {
			cfg.Progress(report.Cases[len(report.Cases)-1])
		}
	}
	if late := r.afterAll(); late != nil {
		report.blame(late)
	}
	return report, nil
}

// selected are the cases that were asked for.
func selected(cfg Config) ([]testCase, error) {
	var picked []testCase
	for _, c := range allCases() {
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, c.number) || cfg.Core && !c.core {
			continue
		}
		picked = append(picked, c)
	}
	for _, n := range cfg.Only {
		if !slices.ContainsFunc(picked, func(c testCase) bool { return c.number == n }) {
			return nil, fmt.Errorf("there is no case %d to be played", n)
		}
	}
	return picked, nil
}

// Cases lists what Run plays, without results.
func Cases() []Result {
	var list []Result
	for _, c := range allCases() {
		list = append(list, Result{Number: c.number, Name: c.name, Rule: c.rule})
	}
	return list
}

func (r *Report) add(c Result) {
	c.TookMS = c.Took.Milliseconds()
	r.Cases = append(r.Cases, c)
	switch c.Outcome {
	case Passed:
		r.Passed++
	case Failed:
		r.Failed++
	case Skipped:
		r.Skipped++
	}
}

// blame turns cases that had passed into failures: what must never be answered
// was answered later.
func (r *Report) blame(late map[int]string) {
	for i := range r.Cases {
		c := &r.Cases[i]
		if why, ok := late[c.Number]; ok && c.Outcome == Passed {
			c.Outcome, c.Why = Failed, why
			r.Passed--
			r.Failed++
		}
	}
}
