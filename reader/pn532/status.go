package pn532

import (
	"errors"
	"fmt"

	"tapkeeper/reader"
)

// StatusError is why the chip could not do what it was told (user manual 7.1).
type StatusError struct {
	Command string
	Status  byte // without the two upper bits
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %s (PN532 status %02X)", e.Command, words(e.Status), e.Status)
}

// Is says which statuses mean that the phone cannot be talked to any more.
func (e *StatusError) Is(target error) bool {
	return target == reader.ErrCardGone && e.Status != 0x10 && e.Status != 0x26 && e.Status != 0x0E
}

// statusWords is the table of the user manual, 7.1.
var statusWords = map[byte]string{
	0x01: "the card did not answer in time",
	0x02: "wrong check sum of the card's answer",
	0x03: "wrong parity of the card's answer",
	0x04: "wrong number of bits in anticollision",
	0x05: "framing error of a MIFARE card",
	0x06: "more than one card answered at once",
	0x07: "the chip's buffer is too small",
	0x09: "the chip's radio buffer has run over",
	0x0A: "the field was not on in time",
	0x0B: "the card broke the radio protocol",
	0x0D: "the chip is too hot and has switched its antenna off",
	0x0E: "the chip's own buffer has run over",
	0x10: "invalid parameter",
	0x12: "the chip does not support this as a target",
	0x13: "the card's data does not have the expected format",
	0x14: "authentication error of a MIFARE card",
	0x23: "wrong check byte of the card's number",
	0x25: "the chip is in a state that does not allow this",
	0x26: "not allowed in this configuration",
	0x27: "the card is not selected any more",
	0x29: "the card was released",
	0x2A: "another card than before answered",
	0x2B: "the card has left the field",
	0x2C: "mismatch of the peer's number",
	0x2D: "overcurrent",
	0x2E: "the peer's number is missing",
}

func words(status byte) string {
	if w, ok := statusWords[status]; ok {
		return w
	}
	return "unknown trouble"
}

// Errors of the line and of what is on it.
var (
	errSilent = errors.New("nothing answers")
	errSyntax = errors.New("the chip did not understand a frame")
	errBroken = errors.New("the line spoils what the chip sends")
)

// ForeignError says that something other than a PN532 is on the line.
type ForeignError struct{ Answer []byte }

// maxShown bounds what is shown of an answer; a banner can be recognised by it.
const maxShown = 24

func (e *ForeignError) Error() string {
	b := e.Answer[:min(len(e.Answer), maxShown)]
	text := fmt.Sprintf("not a PN532: it answers % X", b)
	printable := make([]byte, 0, maxShown)
	for _, c := range b {
		if c >= ' ' && c <= '~' {
			printable = append(printable, c)
		}
	}
	if len(printable)*2 > len(b) {
		text += fmt.Sprintf(" (%q)", printable)
	}
	return text
}
