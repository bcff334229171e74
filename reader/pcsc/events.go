package pcsc

import "strings"

// flags is a state or event word of PC/SC. The high half counts events from pcsc-lite 2.3.0 on, and must be given back
// for that as it came.
type flags uint32

const (
	flagChanged     flags = 0x0002
	flagUnknown     flags = 0x0004
	flagUnavailable flags = 0x0008
	flagPresent     flags = 0x0020
	flagExclusive   flags = 0x0080
	flagMute        flags = 0x0200

	counterShift = 16 // the polling thread counts what it sees in the high half; 0 is an unknown count
)

// phase is what is in a slot.
type phase int

const (
	away    phase = iota // the reader is unplugged, or does not answer
	empty                // no card
	present              // a contactless card
	mute                 // a card that does not answer to power, or is not contactless
)

// slot is one reader, as its last event word tells.
type slot struct {
	name  string
	phase phase
	taken bool  // somebody has it for himself, perhaps this process
	count flags // what pcscd's polling thread has counted so far: cards that came, and cards that went

	// doubtful: the event word may not be the truth any more, so the slot is asked. pcscd (1.9.9) powers a card once, when
	// it comes; one that does not answer then stays mute. And a call that meets a card just gone makes it note an empty
	// slot or a wrong ATR behind the back of its polling thread (winscard.c). If a phone is in the field again at the
	// next poll, nothing has changed for that thread, and no event comes until the phone is taken away: a customer who
	// taps again at once would wait for ever.
	doubtful bool
	unproven bool // what it says may be older than the watch
}

// slotOf reads what a wait has returned. The ATR counts only with a card: it keeps the last card's bytes without one.
func slotOf(e entry) slot {
	s := slot{name: e.reader, taken: e.event&flagExclusive != 0, count: e.event >> counterShift, unproven: e.first}
	switch {
	case e.event&(flagUnknown|flagUnavailable) != 0:
		s.phase = away
	case e.event&flagPresent == 0:
		s.phase = empty
		marked := e.last != 0 && s.count == e.last>>counterShift
		s.doubtful = marked && s.count != 0
		if marked && e.state&flagPresent != 0 { // the first card since the reader was plugged in has no count
			s.unproven = true
		}
	case e.event&flagMute != 0: // perhaps a phone at the edge of the field, which will answer in a moment
		s.phase, s.doubtful = mute, true
	case !contactless(e.atr):
		s.phase = mute
	default:
		s.phase = present
	}
	return s
}

// contactless tests for the ATR that PC/SC part 3 makes up for ISO 14443-4: 3B 8n 80 01, n historical bytes, TCK. A
// contact card may have the same by accident, and then answers no PPSE.
func contactless(atr []byte) bool {
	if len(atr) < 5 || atr[0] != 0x3B || atr[1]&0xF0 != 0x80 || atr[2] != 0x80 || atr[3] != 0x01 {
		return false
	}
	if len(atr) != 5+int(atr[1]&0x0F) {
		return false
	}
	var sum byte
	for _, b := range atr[1:] {
		sum ^= b
	}
	return sum == 0
}

// The words by which drivers tell the interfaces of one device apart.
var (
	contactlessWords = []string{"CONTACTLESS", "PICC", "NFC", "RFID", "-CL", " CL ", "ACR122"}
	contactWords     = []string{"CONTACT", "ICC", "SAM"}
)

func saysContactless(name string) bool { return hasWord(name, contactlessWords) }
func saysContact(name string) bool     { return hasWord(name, contactWords) }

func hasWord(name string, words []string) bool {
	name = strings.ToUpper(name)
	for _, w := range words {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}
