package zvt

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Status is what a terminal says of a payment, a reversal, a refund or a day (04 0F). Of a card number it keeps the
// last four digits and nothing else.
type Status struct {
	Code        byte   // result: 00 is done
	AmountMinor int64  // -1: not said
	Currency    uint16 // ISO 4217, numeric; 0: not said
	Trace       string // digits
	Receipt     string // digits: a reversal names it
	Date, Time  string // MMDD and HHMMSS by the terminal's clock
	TerminalID  string
	Approval    string // the host's authorisation code
	Card        string // its name
	LastDigits  string
	AID         string
	Text        string   // for the customer
	Reading     string   // "stripe", "chip" or "contactless"; "" when not said
	Verified    string   // how the payer was verified; "" when not said
	Totals      []Totals // of an end of day
}

// Totals of one kind of cards.
type Totals struct {
	Count       int
	AmountMinor int64
}

// Ident says which booking of a terminal this is: a second answer with the same one tells of the same payment. It is
// empty when the terminal gives nothing to know it by.
func (s Status) Ident() string {
	if s.Receipt == "" && s.Trace == "" {
		return ""
	}
	return strings.Join([]string{s.TerminalID, s.Receipt, s.Trace, s.Date, s.Time}, "/")
}

// Tags of data objects in a status.
const (
	tagText     = 0x07
	tagTexts    = 0x24
	tagLines    = 0x25
	tagAID      = 0x43
	tagApp      = 0x60
	tagVerified = 0x1F10
	tagReading  = 0x1F12
)

var (
	readings = map[byte]string{0: "stripe", 1: "chip", 2: "contactless"}
	verified = map[byte]string{0: "none", 1: "signature", 2: "online PIN", 3: "offline PIN", 4: "on the device"}
)

// StatusOf reads a status information; what is not in it stays empty.
func StatusOf(m Msg) Status {
	s := Status{Code: codeProtocol, AmountMinor: -1} // one without a result is not done
	for _, f := range m.Fields {
		switch v := f.Value; f.Tag {
		case 0x04:
			if n, ok := number(v); ok {
				s.AmountMinor = n
			}
		case 0x0B:
			s.Trace = digits(v)
		case 0x0C:
			s.Time = digits(v)
		case 0x0D:
			s.Date = digits(v)
		case 0x22:
			s.LastDigits = lastDigits(v)
		case 0x27:
			s.Code = v[0]
		case 0x29:
			s.TerminalID = digits(v)
		case 0x3B:
			s.Approval = strings.TrimRight(strings.TrimSpace(Text(v)), "\x00")
		case 0x3C:
			s.Text = Text(v)
		case 0x49:
			if n, ok := number(v); ok {
				s.Currency = uint16(n)
			}
		case 0x60:
			s.Totals = totals(v)
		case 0x87:
			s.Receipt = digits(v)
		case 0x8B:
			s.Card = strings.TrimSpace(Text(v))
		case container:
			s.objects(f.TLV)
		}
	}
	return s
}

func (s *Status) objects(list []TLV) {
	for _, t := range list {
		switch t.Tag {
		case tagAID:
			s.AID = fmt.Sprintf("%X", t.Value)
		case tagApp:
			s.objects(t.TLV)
		case tagReading:
			if len(t.Value) == 1 {
				s.Reading = readings[t.Value[0]]
			}
		case tagVerified:
			if len(t.Value) == 1 {
				s.Verified = verified[t.Value[0]]
			}
		}
	}
}

// totals reads bitmap 60: the first and last receipt, then a count and a sum for each of seven kinds of cards.
func totals(v []byte) []Totals {
	const head, each = 4, 7
	if len(v) < head || (len(v)-head)%each != 0 {
		return nil
	}
	var list []Totals
	for v = v[head:]; len(v) > 0; v = v[each:] {
		sum, ok := number(v[1:each])
		if !ok {
			return nil
		}
		list = append(list, Totals{int(v[0]), sum})
	}
	return list
}

// number reads BCD.
func number(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c>>4 > 9 || c&0xF > 9 || n > 1e15 {
			return 0, false
		}
		n = n*100 + int64(c>>4)*10 + int64(c&0xF)
	}
	return n, true
}

// digits writes BCD out; anything that is no digit ends it.
func digits(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		for _, d := range []byte{c >> 4, c & 0xF} {
			if d > 9 {
				return s.String()
			}
			s.WriteByte('0' + d)
		}
	}
	return s.String()
}

// lastDigits of a card number, which ends with F where it is odd and is masked with E. Four at most leave this package.
func lastDigits(b []byte) string {
	nibbles := make([]byte, 0, 2*len(b))
	for _, c := range b {
		nibbles = append(nibbles, c>>4, c&0xF)
	}
	if n := len(nibbles); n > 0 && nibbles[n-1] == 0xF {
		nibbles = nibbles[:n-1]
	}
	const kept, shortest = 4, 8
	if len(nibbles) < shortest {
		return ""
	}
	var s strings.Builder
	for _, d := range nibbles[len(nibbles)-kept:] {
		if d > 9 {
			return ""
		}
		s.WriteByte('0' + d)
	}
	return s.String()
}

// bcd writes a number in n bytes of BCD.
func bcd(v int64, n int) []byte {
	b := make([]byte, n)
	for i := n - 1; i >= 0; i-- {
		b[i] = byte(v%10) | byte(v/10%10)<<4
		v /= 100
	}
	return b
}

// fromDigits packs digits, which must be an even number of them.
func fromDigits(s string) []byte {
	b := make([]byte, len(s)/2)
	for i := range b {
		b[i] = (s[2*i]-'0')<<4 | (s[2*i+1] - '0')
	}
	return b
}

// Lines are the lines of a receipt that a message prints.
func Lines(m Msg) []string {
	switch m.Control {
	case PrintLine:
		if len(m.Head) < 1 {
			return nil
		}
		return []string{Text(m.Head[1:])}
	case PrintBlock:
		var lines []string
		for _, f := range m.Fields {
			for _, t := range f.TLV {
				if t.Tag != tagLines {
					continue
				}
				for _, line := range t.TLV {
					if line.Tag == tagText {
						lines = append(lines, Text(line.Value))
					}
				}
			}
		}
		return lines
	}
	return nil
}

// Hint is an intermediate status: what the customer has to do, and how long the terminal now takes.
type Hint struct {
	Code    byte
	Text    string // in the terminal's words; "" when it says none
	Minutes int    // new bound of the wait; 0: as before
}

func hintOf(m Msg) Hint {
	var h Hint
	if len(m.Head) > 0 {
		h.Code = m.Head[0]
	}
	if len(m.Head) > 1 {
		if n, ok := number(m.Head[1:2]); ok {
			h.Minutes = int(n)
		}
	}
	var texts []string
	for _, f := range m.Fields {
		for _, t := range f.TLV {
			if t.Tag == tagTexts {
				for _, line := range t.TLV {
					texts = append(texts, Text(line.Value))
				}
			}
		}
	}
	h.Text = strings.Join(texts, "\n")
	return h
}

// currencies are the numbers of ISO 4217 of the markets that ZVT terminals are in.
var currencies = map[string]uint16{"EUR": 978, "HKD": 344, "MOP": 446, "SGD": 702, "CHF": 756, "CNY": 156, "USD": 840, "GBP": 826, "PLN": 985, "CZK": 203, "HUF": 348, "DKK": 208, "SEK": 752, "NOK": 578}

// Currency is the number of a currency, 0 when it is not known here.
func Currency(alphabetic string) uint16 { return currencies[alphabetic] }

func currencyBCD(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, bcdWord(n)) }

func bcdWord(n uint16) uint16 { return n/1000%10<<12 | n/100%10<<8 | n/10%10<<4 | n%10 }
