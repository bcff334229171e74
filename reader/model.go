package reader

import (
	"strconv"
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
	Setup       [][]byte       // escapes that prepare the reader, once each time that it is plugged in
	Cues        map[Cue][]Step // what shows an outcome
	Quirks      []string       // what a technician should know, with the source
	RelayOffset time.Duration  // what reader, USB and pcscd add to an exchange (scheme 5.7)
}

// Step is an escape to send, and a pause after it.
type Step struct {
	Send  []byte
	Pause time.Duration
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
	Form VersionForm
	Bad  []BadFirmware
}

// VersionForm is how the rest of the answer is to be read.
type VersionForm string

// The forms.
const (
	Text   VersionForm = "text"
	Dotted VersionForm = "dotted" // one number a byte
	BCD    VersionForm = "bcd"    // the same, two decimal digits a byte
)

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
	var parts []string
	answer = answer[f.Skip : len(answer)-f.Drop]
	if f.Form == Text {
		return strings.TrimSpace(strings.Map(printable, string(answer)))
	}
	for _, c := range answer {
		if f.Form == BCD {
			c = 10*(c>>4) + c&0x0F
		}
		parts = append(parts, strconv.Itoa(int(c)))
	}
	return strings.Join(parts, ".")
}

// printable drops what would only garble a terminal.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
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
