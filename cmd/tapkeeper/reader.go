package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	firmwareconfig "tapkeeper/firmware-config"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/reader"
	"tapkeeper/reader/pcsc"
)

// describeTime bounds the questions to one reader; a pcscd that hangs does not answer at all.
const describeTime = 5 * time.Second

func newReader(s *shared) *cobra.Command {
	c := &cobra.Command{
		Use: "reader", Short: "Find, watch and measure card readers",
		Long: `Find PC/SC readers, see what happens at them, and measure them. list and watch work
beside the daemon; test, identify and stress take the reader for themselves, and say
who holds it when they cannot.

What is known of the makes, their settings and faults is in docs/readers.md.`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newReaderList(s), newReaderWatch(s), newReaderTest(s), newReaderIdentify(s), newReaderStress(s), newReaderPorts(s))
	for _, sub := range c.Commands() {
		if sub.Args == nil {
			sub.Args = cobra.NoArgs
		}
		positional := sub.Args
		sub.Args = func(c *cobra.Command, args []string) error {
			if err := positional(c, args); err != nil {
				return usage(err)
			}
			return nil
		}
	}
	return c
}

// models are the makes that this program knows.
func models() ([]reader.Model, error) { return bundle.Models(firmwareconfig.Files(), bundle.Test) }

// knownReader is one reader as list and identify show it.
type knownReader struct {
	pcsc.Description
	ConfigureAs string   `json:"configure_as"`
	Quirks      []string `json:"quirks,omitempty"`
	RelayUS     int64    `json:"relay_offset_us"`
	Lights      string   `json:"lights,omitempty"` // what became of the blinking
}

func newReaderList(s *shared) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List PC/SC readers and USB serial ports, and how to call them in the configuration",
		RunE: func(c *cobra.Command, _ []string) error {
			readers, err := listReaders(c.Context(), "")
			if err != nil {
				return errors.Join(err, usbPorts(c.OutOrStdout()))
			}
			if s.json {
				return printJSON(c.OutOrStdout(), readers)
			}
			if err := usbPorts(c.OutOrStdout()); err != nil {
				return err
			}
			if len(readers) == 0 {
				return &failure{exitUnavailable, errors.New("pcscd runs, and no reader is plugged in"), "lsusb shows whether the machine sees it; see docs/readers.md"}
			}
			rows := [][]any{{"CALL IT", "MAKE", "FIRMWARE", "REMARK"}}
			for _, r := range readers {
				rows = append(rows, []any{r.ConfigureAs, orDash(r.Title), orDash(r.Firmware), orDash(remark(r))})
			}
			return table(c.OutOrStdout(), rows...)
		},
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func remark(r knownReader) string {
	switch {
	case r.Bad != nil:
		return "KNOWN BAD FIRMWARE: " + r.Bad.Why
	case r.ConfigureAs == r.Full && r.Name.Serial == "" && r.Name.Slot == 0:
		return "one of several without a serial number: its number may change"
	}
	return r.Trouble
}

// listReaders describes all readers, or the one that a name means.
func listReaders(ctx context.Context, want string) ([]knownReader, error) {
	known, err := models()
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	names, err := pcsc.List(asking)
	if err != nil {
		return nil, noService(err)
	}
	found := []knownReader{}
	for _, name := range names {
		as := pcsc.Advice(names, name)
		if want != "" && want != name && want != as {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, describeTime)
		d, err := pcsc.Describe(asking, name, known)
		cancel()
		if err != nil { // unplugged meanwhile, or the reader hangs: the others are shown all the same
			d.Trouble = err.Error()
		}
		l := knownReader{Description: d, ConfigureAs: as}
		if m := reader.ModelOf(known, name); m != nil {
			l.RelayUS, l.Quirks = m.RelayOffset.Microseconds(), m.Quirks
		}
		found = append(found, l)
	}
	return found, nil
}

// noService says what is wrong with the way to pcscd.
func noService(err error) error {
	if errors.Is(err, pcsc.ErrNotBuilt) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{exitUnavailable, errors.New("pcscd does not answer"), "restart it: systemctl restart pcscd"}
	}
	trouble := pcsc.Trouble()
	if trouble == nil {
		return &failure{exitUnavailable, err, "see journalctl -u pcscd; polkit may not let this user in (docs/readers.md)"}
	}
	return &failure{exitUnavailable, trouble, "systemctl enable --now pcscd.socket; on a machine with polkit, see docs/readers.md for the rule"}
}

func newReaderWatch(s *shared) *cobra.Command {
	var span time.Duration
	c := &cobra.Command{
		Use: "watch", Short: "Show what happens at the readers, until Ctrl-C",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if span > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, span)
				defer cancel()
			}
			service, err := pcsc.New()
			if err != nil {
				return err
			}
			defer func() { _ = service.Close() }()
			return watchReaders(ctx, service, c.OutOrStdout(), s.json)
		},
	}
	c.Flags().DurationVar(&span, "for", 0, "stop after this time")
	return c
}

// sighting is one line of watch.
type sighting struct {
	At     time.Time `json:"at"`
	Reader string    `json:"reader,omitempty"`
	What   string    `json:"what"`
}

func watchReaders(ctx context.Context, service *pcsc.Service, w io.Writer, asJSON bool) error {
	seen := map[string]string{"": ""}
	tell := func(name, what string) error {
		if seen[name] == what {
			return nil
		}
		seen[name] = what
		at := time.Now()
		if asJSON {
			return printLine(w, sighting{at, name, what})
		}
		if name != "" {
			what = name + ": " + what
		}
		_, err := fmt.Fprintln(w, at.Format("15:04:05.000"), what)
		return err
	}
	for {
		slots, state, changed := service.Slots()
		now := map[string]string{"": ""}
		switch {
		case state == reader.Ready && len(slots) == 0:
			now[""] = "no reader is plugged in"
		case state != reader.Ready && state != reader.Starting:
			now[""] = state.String()
		}
		for _, sl := range slots {
			now[sl.Name] = sl.What
			if sl.Taken {
				now[sl.Name] += ", a program has it for itself"
			}
		}
		for name := range seen {
			if _, still := now[name]; !still {
				now[name] = "unplugged"
			}
		}
		names := make([]string, 0, len(now))
		for name := range now {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if now[name] == "" && name == "" { // pcscd is back: the readers say so
				seen[""] = ""
				continue
			}
			if err := tell(name, now[name]); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func newReaderIdentify(s *shared) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "identify", Short: "Say what a reader is, and blink with it",
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := listReaders(c.Context(), name)
			switch {
			case err != nil:
				return err
			case len(found) == 0:
				return &failure{exitUnavailable, fmt.Errorf("no reader %q is plugged in", name), "tapkeeper reader list shows the names"}
			case len(found) > 1:
				return &failure{exitUsage, fmt.Errorf("%d readers are plugged in", len(found)), "name one with --reader; tapkeeper reader list shows the names"}
			}
			r := found[0]
			r.Lights = blink(c.Context(), s.socket, r)
			if s.json {
				return printJSON(c.OutOrStdout(), r)
			}
			return printIdentity(c.OutOrStdout(), r)
		},
	}
	c.Flags().StringVar(&name, "reader", "", "the reader, as tapkeeper reader list calls it (default: the only one)")
	return c
}

// blinkTime is long enough to be seen and heard.
const blinkTime = 1500 * time.Millisecond

// blink shows the paid and the idle light, and says why not.
func blink(ctx context.Context, socket string, r knownReader) string {
	known, err := models()
	model := reader.ModelOf(known, r.Full)
	switch {
	case err != nil || model == nil || len(model.Cues) == 0:
		return "this make has no lights or tone that a program can set"
	case !r.Escapes:
		return "not permitted by the driver: see docs/readers.md, ifdDriverOptions"
	}
	if err := refuseDaemon(ctx, socket, cardFlags{reader: r.Full}); err != nil {
		return "not tried: " + err.Error()
	}
	service, err := pcsc.New(known...)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = service.Close() }()
	at := service.Reader(r.Full)
	defer func() { _ = at.Close() }()
	for end := time.Now().Add(blinkTime); at.State() == reader.Starting && time.Now().Before(end); {
		time.Sleep(stateLook)
	}
	at.Signal(reader.CueSuccess)
	time.Sleep(blinkTime)
	at.Signal(reader.CueIdle)
	time.Sleep(stateLook)
	return "shown: paid, then idle"
}

// stateLook is how often a reader that has just been opened is asked how it is.
const stateLook = 50 * time.Millisecond

func printIdentity(w io.Writer, r knownReader) error {
	rows := [][]any{
		{"reader", r.Full}, {"call it", r.ConfigureAs}, {"make", orDash(r.Title)}, {"profile", orDash(r.Model)},
		{"serial number", orDash(r.Name.Serial)}, {"firmware", orDash(r.Firmware)}, {"escape commands", yesNo(r.Escapes)},
		{"relay offset", fmt.Sprintf("%d us", r.RelayUS)}, {"lights and tone", r.Lights},
	}
	if r.Bad != nil {
		rows = append(rows, []any{"KNOWN BAD FIRMWARE", r.Bad.Why + " (" + r.Bad.Source + ")"})
	}
	if r.Trouble != "" {
		rows = append(rows, []any{"trouble", r.Trouble})
	}
	for _, q := range r.Quirks {
		rows = append(rows, []any{"quirk", q})
	}
	return table(w, rows...)
}

func yesNo(b bool) string {
	if b {
		return "permitted"
	}
	return "not permitted"
}
