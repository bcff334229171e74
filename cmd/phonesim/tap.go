package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"tapkeeper/reader/readertest"
	"tapkeeper/wallet/phone"
)

const (
	// defaultHold is a person's tap: long enough for a payment, which takes under a second.
	defaultHold = 2 * time.Second
	// dialTimeout bounds the way to the reader; a local one answers at once.
	dialTimeout = 5 * time.Second
)

// tap is one visit of the phone in a reader's field, as the flags tell it.
type tap struct {
	connect, wallet string
	persona         string
	hold            time.Duration
	verified        bool
	pn532, zvt      string // the line of a simulated module, or of a card terminal
	fault           string
	decline         int
}

func (t tap) run(ctx context.Context, out io.Writer) error {
	if t.persona == "list" {
		listPersonas(out)
		return nil
	}
	if t.zvt != "" {
		return t.asTerminal(ctx, out)
	}
	network, address, err := parseReader(t.connect)
	switch {
	case err != nil:
		return usage(err)
	case t.wallet == "":
		return usage(errors.New("no wallet file: --wallet FILE is required"))
	case t.hold < 0:
		return usage(fmt.Errorf("--hold %v: want 0 or more", t.hold))
	}
	w, err := phone.Open(t.wallet, phone.Options{})
	if err != nil {
		return &failure{exitUnexpected, fmt.Errorf("open wallet file: %w", err), "walletd init makes wallet files, in the folder phones"}
	}
	p := &held{Wallet: w, face: w, verified: t.verified}
	if t.persona != "" {
		if p.face, err = play(t.persona, w); err != nil {
			return usage(err)
		}
	}
	if t.pn532 != "" {
		return t.inChip(ctx, out, p)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return unavailable(fmt.Errorf("no reader at %s: %w", t.connect, err), hintFor(network))
	}
	fmt.Fprintf(out, "phone in the field of %s\n", t.connect)
	err = t.stay(ctx, conn, p)
	fmt.Fprintf(out, "phone left the field: powered %s, answered %s\n", count(p.powered, "time"), count(p.answered, "command"))
	if err == nil && p.powered == 0 {
		return unavailable(errors.New("the reader did not power the phone"), "a reader wants a phone only while a payment waits for its tap; another phone may be in the field")
	}
	return err
}

// stay holds the phone to the reader. That the time is over, and that the reader goes, are ends as any other.
func (t tap) stay(ctx context.Context, conn net.Conn, p *held) error {
	var cancel context.CancelFunc
	if t.hold > 0 {
		ctx, cancel = context.WithTimeout(ctx, t.hold)
		defer cancel()
	}
	err := readertest.Serve(ctx, conn, p)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// parseReader splits tcp:HOST:PORT and unix:PATH.
func parseReader(s string) (network, address string, err error) {
	network, address, _ = strings.Cut(s, ":")
	switch network {
	case "tcp":
		if host, port, err := net.SplitHostPort(address); err == nil && host != "" && port != "" {
			return network, address, nil
		}
	case "unix":
		if address != "" {
			return network, address, nil
		}
	}
	return "", "", fmt.Errorf("--connect %q: want tcp:HOST:PORT or unix:PATH", s)
}

func hintFor(network string) string {
	if network == "tcp" {
		return "start pcscd with its virtual reader: apt install pcscd vsmartcard-vpcd; systemctl start pcscd"
	}
	return "start tapkeeper with the virtual reader at this path, as the same user"
}

// play lets the wallet act as a persona.
func play(name string, w *phone.Wallet) (readertest.Phone, error) {
	p, known := phone.PersonaNamed(name)
	if !known {
		return nil, fmt.Errorf("--persona %q: there is none of that name; --persona list names them", name)
	}
	return p.Play(w, phone.Tools{})
}

// listPersonas says what each persona does.
func listPersonas(out io.Writer) {
	for _, p := range phone.Personas() {
		fmt.Fprintf(out, "%-40s %s\n", p.Name, p.Doc)
	}
}

// held is the wallet as it lies at the reader, with the face that it shows: its own, or a persona's. Serve calls it
// from one goroutine, and run reads it after that.
type held struct {
	*phone.Wallet
	face              readertest.Phone
	verified          bool
	powered, answered int
}

// PowerOn unlocks the phone anew for each activation: its owner holds it.
func (p *held) PowerOn() {
	p.powered++
	if p.verified {
		p.Unlock(time.Now())
	}
	p.face.PowerOn()
}

// PowerOff ends an activation.
func (p *held) PowerOff() { p.face.PowerOff() }

// Transmit counts; commands and answers are nobody's business.
func (p *held) Transmit(command []byte) []byte {
	p.answered++
	return p.face.Transmit(command)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
