package pn532sim

import (
	"bytes"
	"context"
	"io"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

// The chip's answers (PN532 user manual, 7).
const (
	timeout     = 0x01
	notSelected = 0x27
	more        = 0x40
	maxData     = 262
)

// obey carries one command out: the acknowledgement leaves at once, the answer when it is there.
func (c *Chip) obey(w io.Writer, body []byte) {
	code, data := body[0], bytes.Clone(body[1:])
	c.mu.Lock()
	fault := None
	if f := c.faults[code]; len(f) > 0 {
		fault, c.faults[code] = f[0], f[1:]
	}
	c.seen = append(c.seen, append([]byte{code}, data...))
	asleep := !c.set && code != 0x02 && code != 0x14 && code != 0x00
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.mu.Unlock()
	if asleep || fault == Deaf {
		stop()
		return
	}
	acknowledge := ackFrame
	switch fault {
	case NoACK:
		acknowledge = nil
	case LongStart:
		acknowledge = append([]byte{0xA5, 0x5A, 0xFF, 0x00, 0x00, 0x00, 0x00, 0x00}, ackFrame...)
	}
	late := fault == OneWrite || code != 0x40 && code != 0x4A && fault == None
	if !late {
		c.sendAs(w, fault, acknowledge)
		acknowledge = nil
	}
	work := func() {
		defer stop()
		answer, ok := c.carryOut(ctx, code, data)
		if fault == SyntaxError || !ok {
			c.send(w, acknowledge, syntaxError)
			return
		}
		if ctx.Err() != nil && fault != Late || fault == Silent {
			return
		}
		c.answer(w, fault, acknowledge, wrap(code+1, answer))
	}
	if code != 0x40 {
		work()
		return
	}
	c.busy.Go(work) // the chip listens meanwhile: the host may give up
}

func (c *Chip) answer(w io.Writer, fault Fault, acknowledge, whole []byte) {
	c.mu.Lock()
	c.last = whole
	if fault == AllSpoilt {
		c.last = spoil(whole)
	}
	c.mu.Unlock()
	switch fault {
	case Spoilt, AllSpoilt:
		whole = spoil(whole)
	case LongStart:
		whole = append(make([]byte, 40), whole...)
	}
	if fault == ByteByByte {
		c.sendAs(w, fault, whole)
		return
	}
	c.send(w, acknowledge, whole)
}

func spoil(whole []byte) []byte {
	b := bytes.Clone(whole)
	b[len(b)-2] ^= 0x10
	return b
}

// bytePause makes sure that two bytes come in two reads.
const bytePause = 300 * time.Microsecond

func (c *Chip) sendAs(w io.Writer, fault Fault, whole []byte) {
	if fault != ByteByByte {
		c.send(w, whole)
		return
	}
	for i := range whole {
		c.send(w, whole[i:i+1])
		time.Sleep(bytePause)
	}
}

// carryOut does what a command says; false is a command that the chip does not know.
func (c *Chip) carryOut(ctx context.Context, code byte, data []byte) ([]byte, bool) {
	switch code {
	case 0x00: // Diagnose
		return data, true
	case 0x02:
		return c.Version[:], true
	case 0x10:
		return nil, c.speed(data)
	case 0x12:
		return nil, true
	case 0x14:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.set = true
		return nil, true
	case 0x32:
		if len(data) == 2 && data[0] == 1 && data[1]&1 == 0 {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.release()
		}
		return nil, len(data) > 1
	case 0x40:
		return c.exchange(ctx, data), len(data) > 0
	case 0x42:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.polls = append(c.polls, data)
		return []byte{timeout}, true
	case 0x44, 0x52:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.release()
		return []byte{0}, true
	case 0x4A:
		return c.list(ctx, data), len(data) > 1
	}
	return nil, false
}

func (c *Chip) speed(data []byte) bool {
	known := map[byte]int{0x04: 115200, 0x05: 230400, 0x06: 460800, 0x07: 921600}
	if len(data) != 1 || known[data[0]] == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = known[data[0]]
	return true
}

const (
	// emptyTime is what the chip takes to find that nobody answers.
	emptyTime = 500 * time.Microsecond
	// selectTime bounds the activation of a phone that is busy with its last command.
	selectTime = 200 * time.Millisecond
)

// list is InListPassiveTarget.
func (c *Chip) list(ctx context.Context, data []byte) []byte {
	c.mu.Lock()
	c.release()
	c.mu.Unlock()
	field := c.A
	if data[1] == 0x03 {
		field = c.B
	}
	n := field.Phones()
	switch {
	case n == 0:
		time.Sleep(emptyTime)
		return []byte{0}
	case n > 1 && data[0] > 1:
		return append([]byte{2}, bytes.Join([][]byte{describeA(1), describeA(2)}, nil)...)
	case n > 1:
		return []byte{0} // they talk at once
	}
	ctx, cancel := context.WithTimeout(ctx, selectTime)
	defer cancel()
	card, err := field.Await(ctx)
	if err != nil {
		return []byte{0}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.targets = append(c.targets, card)
	if field == c.B {
		return append([]byte{1}, describeB(1)...)
	}
	return append([]byte{1}, describeA(1)...)
}

// describeA is a phone: SENS_RES 0004, SAK 20, a random UID, ATS 05 78 80 70 02.
func describeA(number byte) []byte {
	return []byte{number, 0x00, 0x04, 0x20, 0x04, 0x08, number, 0x02, 0x03, 0x05, 0x78, 0x80, 0x70, 0x02}
}

// describeB is ATQB with ISO 14443-4, and an answer to ATTRIB of one byte.
func describeB(number byte) []byte {
	return []byte{number, 0x50, 1, 2, 3, 4, 0, 0, 0, 0, 0x00, 0x81, 0x71, 0x01, 0x00}
}

// exchange is InDataExchange with its chaining both ways.
func (c *Chip) exchange(ctx context.Context, data []byte) []byte {
	target, data := data[0], data[1:]
	c.mu.Lock()
	if s := c.statuses[0x40]; len(s) > 0 {
		c.statuses[0x40] = s[1:]
		c.mu.Unlock()
		return s[:1]
	}
	if len(c.targets) == 0 {
		c.mu.Unlock()
		return []byte{notSelected}
	}
	card := c.targets[0]
	chain := c.chains(card)
	c.mu.Unlock()
	switch {
	case target&more != 0:
		chain.command = append(chain.command, data...)
		return []byte{0}
	case len(data) == 0 && len(chain.answer) > 0:
		return chain.next()
	}
	whole := append(chain.command, data...)
	chain.command = nil
	answer, _, err := card.Transmit(ctx, whole)
	if err != nil && len(answer) == 0 {
		return []byte{timeout}
	}
	chain.answer = answer
	return chain.next()
}

// chained is a Card with what was not carried whole yet.
type chained struct {
	reader.Card
	command, answer []byte
}

// chains makes the first target remember. The caller holds mu.
func (c *Chip) chains(card reader.Card) *chained {
	if known, ok := card.(*chained); ok {
		return known
	}
	known := &chained{Card: card}
	c.targets[0] = known
	return known
}

func (ch *chained) next() []byte {
	if len(ch.answer) <= maxData {
		out := append([]byte{0}, ch.answer...)
		ch.answer = nil
		return out
	}
	out := append([]byte{more}, ch.answer[:maxData]...)
	ch.answer = ch.answer[maxData:]
	return out
}

var _ readertest.Field = (*Chip)(nil)

// Present puts a phone into the field, as a card of type A.
func (c *Chip) Present(p readertest.Phone) error { return c.A.Present(p) }

// Remove takes all phones away.
func (c *Chip) Remove() {
	c.A.Remove()
	c.B.Remove()
}

// Wait returns when the exchange that was under way has ended.
func (c *Chip) Wait() { c.busy.Wait() }
