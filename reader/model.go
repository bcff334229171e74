package reader

import (
	"strings"
	"time"
)

// Model is what is known about one make of reader. It is data: firmware-config/profiles has one file for each, with the
// source of every value, and no code asks for a make by its name.
type Model struct {
	Name  string   // of its profile
	Title string   // what is printed on it
	Match []string // parts of the name that its driver gives it; "" is in every name
	USB   []string // vendor:product

	// Contactless: what Match finds has no contact slot, so that a card need not be asked which it is.
	Contactless bool
	// Polls: pcscd asks the driver for a card every 0.4 s, because the driver has no interrupt for it.
	Polls bool

	Escape      EscapeWay
	Firmware    Firmware
	Setup       [][]byte         // escapes that prepare the reader, once each time that it is plugged in
	Cues        map[Cue][][]byte // escapes that show an outcome
	RelayOffset time.Duration    // what reader, USB and pcscd add to an exchange (scheme 5.7)
}

// EscapeWay is how a command for the reader itself is sent.
type EscapeWay string

// The ways.
const (
	NoEscape      EscapeWay = ""
	ByControl     EscapeWay = "control"           // SCardControl, always allowed by the driver
	ByPermission  EscapeWay = "control-permitted" // SCardControl, where ifdDriverOptions has 0x0001
	ByPseudoAPDUs EscapeWay = "transmit"          // an APDU of class FF, while a card is there
)

// Firmware is how a reader tells the version of its firmware, and which versions are no good.
type Firmware struct {
	Ask  []byte // the escape; nil when it cannot be asked
	Skip int    // bytes of the answer before the text
	Drop int    // bytes after it
	// Binary: the rest is numbers, and not text.
	Binary bool
	Bad    []BadFirmware
}

// BadFirmware is a version that must not take payments, or that needs care.
type BadFirmware struct {
	Prefix string // of the version as Version gives it
	Why    string
	Source string
}

// Fits says how well the model knows a reader of that name: the length of the longest part that is in it, -1 for none.
func (m *Model) Fits(name string) int {
	best := -1
	for _, part := range m.Match {
		if strings.Contains(name, part) {
			best = max(best, len(part))
		}
	}
	return best
}

// ModelOf is the model that knows a name best, or nil.
func ModelOf(models []Model, name string) *Model {
	var best *Model
	fit := -1
	for i := range models {
		if n := models[i].Fits(name); n > fit {
			best, fit = &models[i], n
		}
	}
	return best
}

// Version is the text in the answer to Ask; "" when there is none.
func (f *Firmware) Version(answer []byte) string {
	if len(answer) < f.Skip+f.Drop {
		return ""
	}
	answer = answer[f.Skip : len(answer)-f.Drop]
	var b strings.Builder
	for i, c := range answer {
		switch {
		case f.Binary && i > 0:
			b.WriteByte('.')
			fallthrough
		case f.Binary:
			b.WriteString(decimal(c))
		case c >= ' ' && c <= '~': // the rest would only garble a terminal
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

func decimal(c byte) string {
	if c < 10 {
		return string('0' + rune(c))
	}
	return decimal(c/10) + string('0'+rune(c%10))
}

// Judge is what is known against a version, or nil.
func (f *Firmware) Judge(version string) *BadFirmware {
	for i := range f.Bad {
		if version != "" && strings.HasPrefix(version, f.Bad[i].Prefix) {
			return &f.Bad[i]
		}
	}
	return nil
}
