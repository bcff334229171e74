package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
	"tapkeeper/reader"
)

// Bounds of one reading; a card that wants more is ill or hostile.
const (
	maxApplications = 16
	maxRecords      = 64              // of one application; the scheme has 16 at most
	maxCommands     = 512             // of all applications
	maxChained      = 8               // GET RESPONSE after one command, as scheme 5.1
	maxAnswer       = 2048            // of one chained answer
	commandTime     = 5 * time.Second // more than any card takes
	readingTime     = 60 * time.Second
)

// errHarmful: a command that could move money, change the card or try a PIN.
var errHarmful = errors.New("card read does not send this command")

// harmless are the only commands that a reading sends. GENERATE AC, which decides a
// payment, is not among them, and neither is anything that writes.
func harmless(c apdu.Command) bool {
	switch [2]byte{c.CLA, c.INS} {
	case [2]byte{0x00, apdu.InsSelect}, [2]byte{0x80, apdu.InsGPO}, [2]byte{0x00, apdu.InsReadRecord}, [2]byte{0x00, apdu.InsGetResponse}:
		return true
	}
	return false
}

// probe reads one card.
type probe struct {
	card     reader.Card
	unmask   bool
	now      time.Time
	commands int
	seen     [][]byte // the ADF names that were read
	steps    []sight
}

// sight is one exchange as it may be shown.
type sight struct {
	About  string       `json:"about"`
	Answer *dict.Report `json:"answer,omitempty"` // absent when it is not readable
	SW     string       `json:"sw"`
	Note   string       `json:"note,omitempty"`
}

// reading is everything that was seen of one card.
type reading struct {
	Reader string  `json:"reader"`
	Steps  []sight `json:"steps"`
	Found  int     `json:"applications"`
}

func (r reading) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	plural := "s"
	if r.Found == 1 {
		plural = ""
	}
	fmt.Fprintf(w, "card on %s, %d application%s\n", r.Reader, r.Found, plural)
	for _, s := range r.Steps {
		fmt.Fprintf(w, "\n%s: %s\n", s.About, s.SW)
		if s.Note != "" {
			fmt.Fprintf(w, "  %s\n", s.Note)
		}
		if s.Answer == nil {
			continue
		}
		for _, line := range s.Answer.Lines()[1:] { // the first names the kind
			fmt.Fprintln(w, line)
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

// readCard waits for a card, reads it, and prints what was seen, also when the card
// left before its end.
func readCard(ctx context.Context, r reader.Reader, f cardFlags, w io.Writer, asJSON bool) error {
	card, err := awaitCard(ctx, r, f.wait)
	if err != nil {
		return err
	}
	defer func() { _ = card.Release(0) }() // never fails for a reason that matters here
	ctx, cancel := context.WithTimeout(ctx, readingTime)
	defer cancel()
	p := &probe{card: card, unmask: f.unmask, now: time.Now()}
	err = p.all(ctx)
	printed := reading{r.Name(), p.steps, len(p.seen)}.print(w, asJSON)
	if errors.Is(err, reader.ErrCardGone) {
		return &failure{exitTryAgain, errors.New("the card left the field before it was read"), "hold it still until the lines appear"}
	}
	return errors.Join(err, printed)
}

// all reads the directory, then the applications of it, then those that answer to
// a well-known name: a wallet that is not the phone's default stands in no directory.
func (p *probe) all(ctx context.Context) error {
	names, err := p.directory(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := p.application(ctx, name, true); err != nil {
			return err
		}
	}
	for _, aid := range dict.Applications() {
		if err := p.application(ctx, aid, false); err != nil {
			return err
		}
	}
	return nil
}

// transmit is the one place from which a card hears anything.
func (p *probe) transmit(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	if !harmless(c) {
		return apdu.Response{}, fmt.Errorf("%w: %02X%02X", errHarmful, c.CLA, c.INS)
	}
	if p.commands++; p.commands > maxCommands {
		return apdu.Response{}, fmt.Errorf("the card wants more than %d commands", maxCommands)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	answer, _, err := p.card.Transmit(ctx, c.Bytes())
	if err != nil {
		return apdu.Response{}, fmt.Errorf("read the card: %w", err)
	}
	return apdu.ParseResponse(answer)
}

// send follows 61xx and 6Cxx (scheme 5.1).
func (p *probe) send(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	r, err := p.transmit(ctx, c)
	if le, wrong := r.SW.WrongLe(); err == nil && wrong && len(r.Data) == 0 {
		c.Le = le
		r, err = p.transmit(ctx, c)
	}
	data := bytes.Clone(r.Data)
	for range maxChained {
		n, more := r.SW.More()
		if err != nil || !more || len(data) > maxAnswer {
			break
		}
		r, err = p.transmit(ctx, apdu.GetResponse(n))
		data = append(data, r.Data...)
	}
	return apdu.Response{Data: data, SW: r.SW}, err
}

// note keeps an answer as it may be shown.
func (p *probe) note(about string, c apdu.Command, r apdu.Response, kernel dict.Kernel, remark string) {
	s := sight{About: about, SW: r.SW.String(), Note: remark}
	report, err := dict.Decode(r.Bytes(), dict.Options{
		Kind: dict.RAPDU, Kernel: kernel, Unmask: p.unmask, Command: c.Bytes(), Reason: reasonWords,
	})
	if err == nil {
		s.Answer = &report
	} else {
		s.Note = fmt.Sprintf("%d bytes masked, %v", len(r.Data), err)
	}
	p.steps = append(p.steps, s)
}

// directory selects the PPSE and returns the ADF names in it.
func (p *probe) directory(ctx context.Context) ([][]byte, error) {
	c := apdu.Select([]byte(apdu.PPSE), false)
	r, err := p.send(ctx, c)
	if err != nil {
		return nil, err
	}
	p.note("PPSE", c, r, dict.Book, "")
	var names [][]byte
	if nodes, err := tlv.Parse(r.Data); r.SW == apdu.OK && err == nil {
		tlv.Walk(nodes, func(n tlv.Node, _ int) bool {
			if n.Tag == 0x4F && len(n.Value) >= 5 && len(n.Value) <= 16 {
				names = append(names, n.Value)
			}
			return len(names) < maxApplications
		})
	}
	return names, nil
}

// value finds the first object of a tag in an answer that is well formed.
func value(data []byte, tag tlv.Tag) (found []byte) {
	nodes, err := tlv.Parse(data)
	if err != nil {
		return nil
	}
	tlv.Walk(nodes, func(n tlv.Node, _ int) bool {
		if n.Tag == tag {
			found = n.Value
		}
		return found == nil
	})
	return found
}
