package pn532

import (
	"fmt"

	"tapkeeper/reader"
)

// Modulations of InListPassiveTarget.
const (
	typeA = 0x00
	typeB = 0x03
)

// target is one card that was found and selected.
type target struct {
	number byte
	iso4   bool // it speaks ISO 14443-4, as phones do
}

// list looks once for cards of one type and selects them. At most two are there: more than one is too many anyway.
func (c *chip) list(kind byte) ([]target, error) {
	data := []byte{2, typeA}
	if kind == typeB {
		data = []byte{1, typeB, 0x00} // AFI 00: all
	}
	answer, err := c.ask(usual, inListPassiveTarget, data)
	if err != nil {
		return nil, err
	}
	return parseTargets(kind, answer)
}

// parseTargets reads the answer to InListPassiveTarget (user manual 7.3.5).
func parseTargets(kind byte, answer []byte) ([]target, error) {
	if len(answer) == 0 {
		return nil, fmt.Errorf("InListPassiveTarget: an empty answer")
	}
	n, rest := int(answer[0]), answer[1:]
	if n > 2 {
		return nil, fmt.Errorf("InListPassiveTarget: %d cards", n)
	}
	targets := make([]target, 0, n)
	for range n {
		parse := parseA
		if kind == typeB {
			parse = parseB
		}
		t, after, ok := parse(rest)
		if !ok {
			return nil, fmt.Errorf("InListPassiveTarget: card %d is cut off at byte %d", len(targets)+1, len(answer)-len(rest))
		}
		targets, rest = append(targets, t), after
	}
	return targets, nil
}

// parseA reads Tg, SENS_RES, SEL_RES, the UID, and the ATS of a card that has one.
func parseA(b []byte) (t target, rest []byte, ok bool) {
	const fixed = 5
	if len(b) < fixed || len(b) < fixed+int(b[4]) {
		return t, nil, false
	}
	t = target{number: b[0], iso4: b[3]&0x20 != 0} // SAK (ISO 14443-3, table 9)
	rest = b[fixed+int(b[4]):]
	if !t.iso4 || len(rest) == 0 {
		return t, rest, true
	}
	if n := int(rest[0]); n >= 1 && n <= len(rest) {
		return t, rest[n:], true
	}
	return t, nil, false
}

// parseB reads Tg, ATQB with its leading 50, and the answer to ATTRIB.
func parseB(b []byte) (t target, rest []byte, ok bool) {
	const fixed = 14
	if len(b) < fixed || len(b) < fixed+int(b[13]) {
		return t, nil, false
	}
	// ISO 14443-3 7.9.4: the protocol byte's lowest bit says whether the card speaks ISO 14443-4.
	return target{number: b[0], iso4: b[11]&0x01 != 0}, b[fixed+int(b[13]):], true
}

// find looks for one phone. A phone of type B is looked for first and must be found again after those of type A were
// called, because only then it is known that there is no other.
func (c *chip) find() (t target, found bool, err error) {
	b, err := c.list(typeB)
	if err != nil {
		return t, false, err
	}
	if len(b) > 0 { // it must become mute before type A is called, and fresh before it is called again
		if err := c.dark(); err != nil {
			return t, false, err
		}
	}
	a, err := c.list(typeA)
	switch {
	case err != nil:
		return t, false, err
	case len(a)+len(b) > 1:
		return t, false, reader.ErrManyCards
	case len(a) == 1:
		return a[0], true, nil
	case len(b) == 0:
		return t, false, nil
	}
	if err := c.dark(); err != nil {
		return t, false, err
	}
	if b, err = c.list(typeB); err != nil || len(b) == 0 {
		return t, false, err
	}
	return b[0], true, nil
}

// The bits of an exchange (user manual 7.3.8).
const (
	statusBits = 0x3F
	more       = 0x40 // in the status: the answer goes on; in the target: the command goes on
	// maxData is what one InDataExchange carries: 265 bytes less TFI, command and target.
	maxData = maxBody - 3
)

// transmit carries a command to a card and its answer back, in as many pieces as it takes.
func (c *chip) transmit(w waits, number byte, command []byte) ([]byte, error) {
	head := []byte{number | more}
	for len(command) > maxData {
		if _, _, err := c.piece(w, head, command[:maxData]); err != nil {
			return nil, err
		}
		command = command[maxData:]
	}
	head[0] = number
	data, goesOn, err := c.piece(w, head, command)
	if err != nil {
		return nil, err
	}
	answer := append(make([]byte, 0, len(data)), data...)
	for goesOn {
		if data, goesOn, err = c.piece(w, head, nil); err != nil {
			return nil, err
		}
		if answer = append(answer, data...); len(answer) > reader.MaxAnswer {
			return nil, fmt.Errorf("an answer of more than %d bytes", reader.MaxAnswer)
		}
	}
	return answer, nil
}

func (c *chip) piece(w waits, head, data []byte) (answer []byte, goesOn bool, err error) {
	body, err := c.ask(w, inDataExchange, head, data)
	if err != nil {
		return nil, false, err
	}
	if len(body) == 0 {
		return nil, false, fmt.Errorf("InDataExchange: an empty answer")
	}
	if s := body[0] & statusBits; s != 0 {
		return nil, false, &StatusError{"InDataExchange", s}
	}
	if len(body) == 1 && body[0]&more != 0 {
		return nil, false, fmt.Errorf("InDataExchange: an answer that goes on and on without data")
	}
	return body[1:], body[0]&more != 0, nil
}
