package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
	"tapkeeper/reader"
	"tapkeeper/reader/pcsc"
)

const (
	// maxTaps is some hours of them.
	maxTaps = 100_000
	// testTaps and testEchoes are what reader test takes of the technician's patience: a few seconds.
	testTaps   = 5
	testEchoes = 20
)

// stressed is what came of some taps.
type stressed struct {
	Reader   string         `json:"reader"`
	Model    string         `json:"model,omitempty"`
	Firmware string         `json:"firmware,omitempty"`
	Bad      string         `json:"known_bad,omitempty"`
	Taps     int            `json:"taps"`
	Errors   map[string]int `json:"errors"`
	Failed   int            `json:"failed"`
	reader.Timing
	Tap      reader.Spread `json:"tap"`                // from the phone seen to the field off
	Overhead reader.Spread `json:"overhead,omitempty"` // of commands that the reader itself answers

	taps, exchanges []time.Duration
}

func newReaderTest(s *shared) *cobra.Command {
	f := cardFlags{wait: 30 * time.Second}
	c := &cobra.Command{
		Use: "test", Short: "Try a reader with any contactless card or phone",
		Long: `Wait for a card or phone, tap it a few times as it lies there, and show how quick the
reader is. Nothing but SELECT reaches the card. The overhead is measured by commands
that the reader answers itself: its least is what relay_offset_us of the profile may
be set to.`,
		RunE: func(c *cobra.Command, _ []string) error { return runTaps(c, s, f, testTaps, testEchoes) },
	}
	readerFlags(c, &f)
	return c
}

func newReaderStress(s *shared) *cobra.Command {
	f := cardFlags{wait: 30 * time.Second}
	taps := 0
	c := &cobra.Command{
		Use: "stress", Short: "Tap a card many times, and show errors and latency",
		Long: `Tap the card or phone that lies on the reader many times, switching the field off
between the taps, and show how many failed, of what, and how long they took. Nothing
but SELECT reaches the card. The exit status is 75 when a tap failed.`,
		Example: "  tapkeeper reader stress --taps 1000",
		RunE: func(c *cobra.Command, _ []string) error {
			if taps < 1 || taps > maxTaps {
				return usage(fmt.Errorf("--taps %d, want 1 to %d", taps, maxTaps))
			}
			return runTaps(c, s, f, taps, 0)
		},
	}
	readerFlags(c, &f)
	c.Flags().IntVar(&taps, "taps", 100, "how many taps")
	return c
}

func readerFlags(c *cobra.Command, f *cardFlags) {
	c.Flags().StringVar(&f.reader, "reader", "", "the reader, as tapkeeper reader list calls it (default: the first contactless one)")
	c.Flags().StringVar(&f.virtual, "virtual", "", "open a virtual reader on this socket instead")
	c.Flags().DurationVar(&f.wait, "wait", f.wait, "how long to wait for a card, each time")
}

func runTaps(c *cobra.Command, s *shared, f cardFlags, taps, echoes int) error {
	if f.reader != "" && f.virtual != "" {
		return usage(errors.New("--reader and --virtual exclude each other"))
	}
	if err := refuseDaemon(c.Context(), s.socket, f); err != nil {
		return err
	}
	r, done, err := openField(f)
	if err != nil {
		return err
	}
	defer done()
	if term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintln(c.ErrOrStderr(), "lay a card or phone on the reader, and leave it there")
	}
	got := stressed{Reader: r.Name(), Errors: map[string]int{}}
	if err := got.run(c.Context(), r, f.wait, taps, echoes); err != nil {
		return whoHolds(err)
	}
	if s.json {
		err = printJSON(c.OutOrStdout(), got)
	} else {
		err = got.print(c.OutOrStdout())
	}
	if err == nil && got.Failed > 0 {
		return &failure{exitTryAgain, fmt.Errorf("%d of %d taps failed", got.Failed, got.Taps), "see docs/readers.md, Faults and their words"}
	}
	return err
}

// whoHolds adds the programs that may hold a reader: PC/SC itself does not tell.
func whoHolds(err error) error {
	var f *failure
	if !errors.As(err, &f) || !strings.Contains(f.err.Error(), reader.Held.String()) {
		return err
	}
	users := pcsc.Users()
	if len(users) == 0 {
		return err
	}
	return &failure{f.code, f.err, "programs that use PC/SC now: " + strings.Join(users, ", ") + "; stop the one that holds it"}
}

// run taps. Errors of taps are counted; what is returned is that there is no card or no reader at all.
func (s *stressed) run(ctx context.Context, r reader.Reader, wait time.Duration, taps, echoes int) error {
	var overhead []time.Duration
	for s.Taps < taps {
		card, err := awaitCard(ctx, r, wait)
		if err != nil {
			return err
		}
		if s.Taps == 0 {
			s.introduce(r)
		}
		start := time.Now()
		if s.Taps == 0 && echoes > 0 {
			overhead = s.echoes(ctx, card, echoes)
			start = time.Now()
		}
		s.Taps++
		if err := s.tap(ctx, card); err != nil {
			s.Failed++
			s.Errors[faultOf(err)]++
		}
		_ = card.Release(0)
		s.taps = append(s.taps, time.Since(start))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if m, ok := r.(reader.Meter); ok {
		s.Timing = m.Timing()
	}
	s.Exchange = reader.SpreadOf(append([]time.Duration(nil), s.exchanges...))
	s.Tap = reader.SpreadOf(append([]time.Duration(nil), s.taps...))
	s.Overhead = reader.SpreadOf(overhead)
	return nil
}

// introduce notes which make it is, and what is known against it.
func (s *stressed) introduce(r reader.Reader) {
	if made, ok := r.(interface{ Model() *reader.Model }); ok && made.Model() != nil {
		s.Model = made.Model().Name
	}
	if told, ok := r.(interface {
		Firmware() (string, *reader.BadFirmware)
	}); ok {
		version, bad := told.Firmware()
		if s.Firmware = version; bad != nil {
			s.Bad = bad.Why
		}
	}
}

// echoes asks for the UID, which the reader answers without the card, and throws it away (it is nobody's identity).
// With a virtual reader the question goes to the phone, and its time is the phone's.
func (s *stressed) echoes(ctx context.Context, card reader.Card, n int) (took []time.Duration) {
	for range n {
		answer, d, err := card.Transmit(ctx, []byte{0xFF, 0xCA, 0x00, 0x00, 0x00})
		clear(answer)
		if err != nil {
			return nil
		}
		took = append(took, d)
	}
	return took
}

// tap selects the directory and the first application in it.
func (s *stressed) tap(ctx context.Context, card reader.Card) error {
	answer, err := s.send(ctx, card, apdu.Select([]byte(apdu.PPSE), false))
	if err != nil {
		return err
	}
	if aid := value(answer, tlv.Tag(0x4F)); len(aid) >= 5 && len(aid) <= 16 {
		_, err = s.send(ctx, card, apdu.Select(aid, false))
	}
	return err
}

func (s *stressed) send(ctx context.Context, card reader.Card, command apdu.Command) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	answer, took, err := card.Transmit(ctx, command.Bytes())
	if err != nil {
		return nil, err
	}
	s.exchanges = append(s.exchanges, took)
	return answer[:len(answer)-reader.MinAnswer], nil
}

// faultOf is the word under which an error is counted.
func faultOf(err error) string {
	for _, known := range []error{reader.ErrCardGone, reader.ErrReaderGone, reader.ErrBusy, reader.ErrManyCards} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in " + commandTime.String()
	}
	return err.Error()
}

func (s *stressed) print(w io.Writer) error {
	make := orDash(s.Model)
	if s.Firmware != "" {
		make += ", firmware " + s.Firmware
	}
	fmt.Fprintf(w, "%s (%s)\n", s.Reader, make)
	if s.Bad != "" {
		fmt.Fprintf(w, "KNOWN BAD FIRMWARE: %s\n", s.Bad)
	}
	fmt.Fprintf(w, "%d taps, %d failed\n", s.Taps, s.Failed)
	words := []string{}
	for word := range s.Errors {
		words = append(words, word)
	}
	sort.Strings(words)
	for _, word := range words {
		fmt.Fprintf(w, "  %5d  %s\n", s.Errors[word], word)
	}
	fmt.Fprintln(w)
	rows := [][]any{{"TIME", "COUNT", "LEAST", "P50", "P90", "P99", "MOST"}}
	for _, line := range []struct {
		name string
		reader.Spread
	}{
		{"phone seen to first command", s.First}, {"of it, powering the phone", s.Connect}, {"command to answer", s.Exchange},
		{"answer to next command", s.Between}, {"whole tap", s.Tap}, {"the reader's own overhead", s.Overhead},
	} {
		if line.Count > 0 {
			rows = append(rows, []any{line.name, line.Count, short(line.Min), short(line.P50), short(line.P90), short(line.P99), short(line.Max)})
		}
	}
	if err := table(w, rows...); err != nil {
		return err
	}
	fmt.Fprintln(w)
	plot(w, "command to answer", s.exchanges)
	if s.Overhead.Count > 0 {
		fmt.Fprintf(w, "\nrelay_offset_us for this make: at most %d (scheme 5.7)\n", s.Overhead.Min.Microseconds())
	}
	return nil
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dus", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.1fms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2fs", d.Seconds())
}

// printLine writes one value as one line of JSON.
func printLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
