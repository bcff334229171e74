package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/pn532sim"
	"tapkeeper/reader/readertest/zvtsim"
	"tapkeeper/reader/zvt"
)

// atTCP begins the address of a line that a reader connects to.
const atTCP = "tcp:"

// openLine makes the device's end of a line: a pty with a symbolic link at the path, or a TCP port.
func openLine(where string) (l zvtsim.Line, at string, err error) {
	if address, ok := strings.CutPrefix(where, atTCP); ok {
		tcp, err := line.ListenTCP(address)
		if err != nil {
			return nil, "", err
		}
		return tcp, atTCP + tcp.Addr(), nil
	}
	pty, err := line.OpenPTY(where)
	if err != nil {
		return nil, "", err
	}
	return pty, pty.Path(), nil
}

// serve runs a device until ctx ends.
func serve(ctx context.Context, l zvtsim.Line, device func()) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	device()
	return l.Close()
}

// inChip holds the phone to a PN532 in software. Faults are of its answers to the phone's commands.
func (t tap) inChip(ctx context.Context, out io.Writer, p *held) error {
	fault, at, err := parseFault(t.fault, chipFaults)
	if err != nil {
		return usage(err)
	}
	l, path, err := openLine(t.pn532)
	if err != nil {
		return unavailable(fmt.Errorf("no serial line at %s: %w", t.pn532, err), "name a path that is free, or tcp:HOST:PORT")
	}
	chip := pn532sim.New()
	for range at - 1 {
		chip.Break(inDataExchange, pn532sim.None)
	}
	if t.fault != "" {
		chip.Break(inDataExchange, fault)
	}
	fmt.Fprintf(out, "PN532 at %s, a phone in its field\n", path)
	if err := chip.Present(p); err != nil {
		return err
	}
	if t.hold > 0 {
		leave := time.AfterFunc(t.hold, chip.Remove)
		defer leave.Stop()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.hold)
		defer cancel()
	}
	err = serve(ctx, l, func() { chip.Serve(l) })
	chip.Remove()
	chip.Wait()
	fmt.Fprintf(out, "phone left the field: powered %s, answered %s\n", count(p.powered, "time"), count(p.answered, "command"))
	return err
}

// inDataExchange is the chip's command that carries those of a phone.
const inDataExchange = 0x40

var chipFaults = map[string]pn532sim.Fault{
	"no-ack": pn532sim.NoACK, "one-write": pn532sim.OneWrite, "byte-by-byte": pn532sim.ByteByByte, "noise": pn532sim.LongStart,
	"spoilt": pn532sim.Spoilt, "all-spoilt": pn532sim.AllSpoilt, "syntax-error": pn532sim.SyntaxError, "silent": pn532sim.Silent, "deaf": pn532sim.Deaf,
}

var terminalFaults = map[string]zvtsim.Fault{
	"cut-before": zvtsim.CutBefore, "cut-after": zvtsim.CutAfter, "power-before": zvtsim.PowerBefore, "power-after": zvtsim.PowerAfter,
	"lost": zvtsim.Lost, "split": zvtsim.Split, "twice": zvtsim.Twice, "wrong-sum": zvtsim.WrongSum, "no-ack": zvtsim.NoACK,
	"busy": zvtsim.Busy, "slow": zvtsim.Slow,
}

// parseFault reads NAME@NUMBER; the number counts from 1.
func parseFault[F any](s string, known map[string]F) (f F, number int, err error) {
	if s == "" {
		return f, 1, nil
	}
	name, at, _ := strings.Cut(s, "@")
	f, ok := known[name]
	number, err = strconv.Atoi(at)
	if !ok || err != nil || number < 1 {
		return f, 0, fmt.Errorf("--fault %q: want NAME@NUMBER, with a name of %s", s, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return f, number, nil
}

// asTerminal is a card terminal instead of a phone.
func (t tap) asTerminal(ctx context.Context, out io.Writer) error {
	fault, at, err := parseFault(t.fault, terminalFaults)
	switch {
	case err != nil:
		return usage(err)
	case t.decline < 0 || t.decline > 0xFF:
		return usage(errors.New("--decline: want a result code of 0 to 255"))
	}
	l, path, err := openLine(t.zvt)
	if err != nil {
		return unavailable(fmt.Errorf("no line at %s: %w", t.zvt, err), "name a path that is free, or tcp:HOST:PORT")
	}
	terminal := zvtsim.New(!strings.HasPrefix(t.zvt, atTCP))
	terminal.SetDecide(func(int64) byte { return byte(t.decline) })
	if t.fault != "" {
		terminal.SetFault(once(fault, at))
	}
	fmt.Fprintf(out, "ZVT terminal at %s\n", path)
	err = serve(ctx, l, func() { terminal.Serve(l) })
	for _, b := range terminal.Bookings() {
		fmt.Fprintf(out, "receipt %04d  %-8s  %d.%02d\n", b.Receipt, b.Kind, b.AmountMinor/100, b.AmountMinor%100)
	}
	fmt.Fprintf(out, "%s, and %d reversed because nobody answered\n", count(len(terminal.Bookings()), "booking"), terminal.Dropped())
	return err
}

// once makes a fault at a message of the first payment, refund or reversal that has so many.
func once(f zvtsim.Fault, number int) func(zvtsim.Message) zvtsim.Fault {
	var mu sync.Mutex
	mine, done := false, false
	return func(m zvtsim.Message) zvtsim.Fault {
		mu.Lock()
		defer mu.Unlock()
		if m.Number == 1 {
			mine = m.Control == zvt.Authorisation || m.Control == zvt.Refund || m.Control == zvt.Reversal
		}
		if done || !mine || m.Number != number {
			return zvtsim.None
		}
		done = true
		return f
	}
}
