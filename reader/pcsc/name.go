package pcsc

import (
	"strconv"
	"strings"
)

// Name is a PC/SC name taken apart: the driver's own name, what pcscd knows of the device, and two numbers.
//
//	ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] (0815) 01 00
//	Base                    Interface                 Serial  Number Slot
type Name struct {
	Base      string `json:"base"`
	Interface string `json:"interface,omitempty"`
	Serial    string `json:"serial,omitempty"`
	// Number is the first that was free among all readers of the same driver when this one was plugged in, also among
	// readers of other makes: it says nothing about the reader, and may be another one after the next replug.
	Number int `json:"number"`
	Slot   int `json:"slot"`
}

// ParseName takes a PC/SC name apart. One without the two numbers has Number and Slot -1.
func ParseName(full string) Name {
	n := Name{Base: full, Number: -1, Slot: -1}
	if cut := len(full) - len(" 00 00"); cut > 0 && full[cut] == ' ' && full[cut+3] == ' ' {
		number, err := strconv.ParseUint(full[cut+1:cut+3], 16, 8)
		slot, err2 := strconv.ParseUint(full[cut+4:], 16, 8)
		if err == nil && err2 == nil {
			n.Base, n.Number, n.Slot = full[:cut], int(number), int(slot)
		}
	}
	n.Base, n.Serial = trailing(n.Base, " (", ")")
	n.Base, n.Interface = trailing(n.Base, " [", "]")
	return n
}

// trailing takes "rest (inner)" apart.
func trailing(s, open, shut string) (rest, inner string) {
	i := strings.LastIndex(s, open)
	if i <= 0 || !strings.HasSuffix(s, shut) {
		return s, ""
	}
	return s[:i], s[i+len(open) : len(s)-len(shut)]
}

// Lasting is the name without what the next replug may change. With a serial number the slot stays: the number in front
// of it then tells nothing.
func (n Name) Lasting() string {
	s := n.Base
	if n.Interface != "" {
		s += " [" + n.Interface + "]"
	}
	if n.Serial != "" {
		s += " (" + n.Serial + ")"
	}
	return s
}

// sameDevice: two full names are the same slot of the same device, although one was plugged in anew. Without a serial
// number nobody can tell two readers of a make apart, and a phone held to one must not pay at the other: then only the
// whole name counts.
func sameDevice(a, b string) bool {
	x, y := ParseName(a), ParseName(b)
	return x.Serial != "" && x.Lasting() == y.Lasting() && x.Slot == y.Slot && x.Slot >= 0
}

// choose finds the wanted reader. The wish is one of these:
//   - a full name: that reader, or the same serial number under another number;
//   - a name without the two numbers: the one reader of that name, first slot, and none while there are two;
//   - nothing: the first reader whose name says contactless, else the first that does not say that it is something else.
func choose(slots []slot, want string) (slot, bool) {
	if want == "" {
		return chooseAny(slots)
	}
	found := candidates(slots, want)
	if len(found) != 1 {
		return slot{}, false
	}
	return found[0], true
}

// candidates are the readers that a wish may mean; one of them is the one.
func candidates(slots []slot, want string) (found []slot) {
	for _, s := range slots {
		if s.name == want {
			return []slot{s}
		}
	}
	wish := ParseName(want)
	for _, s := range slots {
		switch n := ParseName(s.name); {
		case wish.Slot < 0 && n.Lasting() == want && n.Slot <= 0, sameDevice(want, s.name):
			found = append(found, s)
		}
	}
	return found
}

func chooseAny(slots []slot) (slot, bool) {
	for _, s := range slots {
		if saysContactless(s.name) {
			return s, true
		}
	}
	for _, s := range slots {
		if !saysContact(s.name) {
			return s, true
		}
	}
	return slot{}, false
}

// Advice is what a configuration should call a reader, so that it is found again after a replug.
func Advice(all []string, name string) string {
	n := ParseName(name)
	alike := 0
	for _, other := range all {
		if o := ParseName(other); o.Lasting() == n.Lasting() && o.Slot == n.Slot {
			alike++
		}
	}
	if alike == 1 && n.Slot == 0 {
		return n.Lasting()
	}
	return name
}
