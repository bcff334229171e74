package dict

import (
	"errors"
	"fmt"
)

// maxATR is the longest answer to reset (ISO/IEC 7816-3 8.2.1).
const maxATR = 33

// atr is an answer to reset cut into its interface bytes.
type atr struct {
	interfaces []interfaceByte
	historical []byte
	start      int  // of the historical bytes
	check      bool // TCK is there
	protocols  []byte
}

// interfaceByte is one of TA1, TB1 and so on.
type interfaceByte struct {
	name  byte // 'A' to 'D'
	group int
	at    int
	value byte
}

func (i interfaceByte) String() string { return fmt.Sprintf("T%c%d", i.name, i.group) }

// isATR reports an ATR that is whole, with its check byte if it has one.
func isATR(b []byte) bool {
	_, err := parseATR(b)
	return err == nil
}

// parseATR follows ISO/IEC 7816-3 8.2.
func parseATR(b []byte) (atr, error) {
	var a atr
	switch {
	case len(b) < 2:
		return a, fmt.Errorf("byte %d: T0 is missing", len(b))
	case b[0] != 0x3B && b[0] != 0x3F:
		return a, fmt.Errorf("byte 0: %02X, want 3B or 3F", b[0])
	case len(b) > maxATR:
		return a, fmt.Errorf("byte %d: at most %d bytes are in an ATR", maxATR, maxATR)
	}
	at, present, count := 2, b[1]>>4, int(b[1]&0x0F)
	for group := 1; present != 0; group++ {
		next := byte(0)
		for i, name := range []byte("ABCD") {
			if present>>i&1 == 0 {
				continue
			}
			if at >= len(b) {
				return a, fmt.Errorf("byte %d: T%c%d is missing", at, name, group)
			}
			a.interfaces = append(a.interfaces, interfaceByte{name, group, at, b[at]})
			if name == 'D' {
				a.protocols = append(a.protocols, b[at]&0x0F)
				next = b[at] >> 4
			}
			at++
		}
		present = next
	}
	for _, p := range a.protocols {
		a.check = a.check || p != 0
	}
	a.start = at
	end := at + count
	if end > len(b) {
		return a, fmt.Errorf("byte %d: %d historical bytes are missing", len(b), end-len(b))
	}
	a.historical = b[at:end]
	switch rest := len(b) - end; {
	case a.check && rest == 0:
		return a, fmt.Errorf("byte %d: TCK is missing", end)
	case a.check && rest > 1, !a.check && rest > 0:
		return a, fmt.Errorf("byte %d: %d bytes too many", end+1, rest)
	}
	if sum := xor(b[1:]); a.check && sum != 0 {
		return a, fmt.Errorf("byte %d: TCK is %02X, want %02X", end, b[end], b[end]^sum)
	}
	return a, nil
}

func xor(b []byte) (sum byte) {
	for _, c := range b {
		sum ^= c
	}
	return sum
}

// readATR explains an ATR, of a card with contacts or of one in a field.
func readATR(b []byte) ([]Item, error) {
	a, err := parseATR(b)
	if err != nil {
		return nil, err
	}
	items := []Item{
		{At: 0, Length: 1, Name: "TS", Value: hexOf(b[:1]), Words: map[byte]string{0x3B: "direct convention", 0x3F: "inverse convention"}[b[0]]},
		{At: 1, Length: 1, Name: "T0", Value: hexOf(b[1:2]), Words: fmt.Sprintf("%d historical bytes", len(a.historical))},
	}
	for _, i := range a.interfaces {
		items = append(items, Item{At: i.at, Length: 1, Name: i.String(), Value: fmt.Sprintf("%02X", i.value), Words: a.words(i)})
	}
	if len(a.historical) > 0 {
		items = append(items, a.history())
	}
	if a.check {
		items = append(items, Item{At: len(b) - 1, Length: 1, Name: "TCK", Value: hexOf(b[len(b)-1:]), Words: "right"})
	}
	if a.contactless() {
		return append(items, Item{Length: len(b), Name: "contactless card, ISO/IEC 14443-4", Words: "PC/SC part 3 3.1.3.2.3"}), nil
	}
	last := Item{Length: len(b), Name: "card with contacts", Words: "as EMV level 1 wants it"}
	if err := a.emv(); err != nil {
		last.Words = "not as EMV level 1 wants it: " + err.Error()
	}
	if a.storage() {
		last.Name, last.Words = "contactless storage card", "not a payment card"
	}
	return append(items, last), nil
}

// contactless is PC/SC part 3 3.1.3.2.3.1: 3B 8n 80 01.
func (a atr) contactless() bool {
	return len(a.interfaces) == 2 && a.interfaces[0] == (interfaceByte{'D', 1, 2, 0x80}) && a.interfaces[1] == (interfaceByte{'D', 2, 3, 0x01}) && !a.storage()
}

// storage is the form that PC/SC part 3 gives to cards without ISO/IEC 14443-4.
func (a atr) storage() bool {
	h := a.historical
	return len(h) == 15 && h[0] == 0x80 && h[1] == 0x4F && h[2] == 0x0C && string(h[3:8]) == "\xA0\x00\x00\x03\x06"
}

func (a atr) find(name byte, group int) (byte, bool) {
	for _, i := range a.interfaces {
		if i.name == name && i.group == group {
			return i.value, true
		}
	}
	return 0, false
}

// clockRates and baudRates are Fi and Di of TA1 (ISO/IEC 7816-3 table 7 and 8).
var (
	clockRates = [16]int{372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048}
	baudRates  = [16]int{0, 1, 2, 4, 8, 16, 32, 64, 12, 20}
)

// words explains one interface byte.
func (a atr) words(i interfaceByte) string {
	v := i.value
	switch {
	case i.name == 'D':
		protocol := fmt.Sprintf("protocol T=%d", v&0x0F)
		if v&0x0F == 15 {
			protocol = "global bytes follow (T=15)"
		}
		return protocol
	case i.group == 1 && i.name == 'A':
		return fmt.Sprintf("Fi=%d; Di=%d", clockRates[v>>4], baudRates[v&0x0F])
	case i.group == 1 && i.name == 'B':
		return "programming voltage, obsolete"
	case i.group == 1 && i.name == 'C':
		return fmt.Sprintf("N=%d", v)
	case i.group == 2 && i.name == 'A':
		return fmt.Sprintf("specific mode, T=%d", v&0x0F)
	case i.group == 2 && i.name == 'C':
		return fmt.Sprintf("WI=%d", v)
	case i.group < 3:
		return ""
	}
	switch protocol := a.protocols[i.group-2]; { // the TD before it
	case protocol == 15 && i.name == 'A':
		return "clock stop and class"
	case protocol == 1 && i.name == 'A':
		return fmt.Sprintf("IFSI=%d", v)
	case protocol == 1 && i.name == 'B':
		return fmt.Sprintf("CWI=%d; BWI=%d", v&0x0F, v>>4)
	case protocol == 1 && i.name == 'C':
		return map[bool]string{true: "CRC", false: "LRC"}[v&1 == 1]
	}
	return ""
}

// history explains the historical bytes (ISO/IEC 7816-4 8.1.1): COMPACT-TLV after
// category 80, or before a status after category 00.
func (a atr) history() Item {
	h := a.historical
	item := Item{At: a.start, Length: len(h), Name: "historical bytes", Value: hexOf(h)}
	body, tail := h[1:], 0
	switch h[0] {
	case 0x80:
	case 0x00:
		if tail = 3; len(body) < tail {
			return item
		}
	default:
		item.Words = "the card's own form"
		return item
	}
	objects, status := body[:len(body)-tail], body[len(body)-tail:]
	for at := 0; at < len(objects); {
		n := int(objects[at] & 0x0F)
		if at+1+n > len(objects) {
			item.Items = nil
			item.Words = "not COMPACT-TLV"
			return item
		}
		name, ok := compactNames[objects[at]>>4]
		if !ok {
			name = "unknown"
		}
		v := objects[at+1 : at+1+n]
		part := Item{At: a.start + 1 + at, Length: n, Tag: fmt.Sprintf("%X", objects[at]>>4), Name: name, Value: hexOf(v)}
		switch {
		case objects[at]>>4 == 0x3 && n == 1:
			_, part.Items = (&decoder{}).flags(serviceData, v, part.At+1)
		case objects[at]>>4 == 0x7 && n > 0:
			_, part.Items = (&decoder{}).flags(capabilities, v[:1], part.At+1)
		}
		item.Items = append(item.Items, part)
		at += 1 + n
	}
	if tail > 0 {
		at := a.start + len(h) - tail
		item.Items = append(item.Items,
			Item{At: at, Length: 1, Name: "life cycle", Value: hexOf(status[:1])},
			Item{At: at + 1, Length: 2, Name: "SW", Value: hexOf(status[1:])})
	}
	return item
}

// compactNames are the tags of COMPACT-TLV (ISO/IEC 7816-4 table 83).
var compactNames = map[byte]string{
	0x1: "country code", 0x2: "issuer identification", 0x3: "card service data", 0x4: "initial access data",
	0x5: "card issuer's data", 0x6: "pre-issuing data", 0x7: "card capabilities", 0x8: "status", 0xF: "application identifier",
}

// Card service data and the first byte of the card capabilities (ISO/IEC 7816-4
// tables 85 and 86).
var (
	serviceData = flagNames{
		0x18: "Application selection by full DF name", 0x17: "Application selection by partial DF name",
		0x16: "BER-TLV data objects available in EF.DIR", 0x15: "BER-TLV data objects available in EF.ATR",
		0x14: "Access services by READ BINARY", 0x13: "Access services by GET DATA", 0x11: "Card without MF",
	}
	capabilities = flagNames{
		0x18: "DF selection by full DF name", 0x17: "DF selection by partial DF name", 0x16: "DF selection by path",
		0x15: "DF selection by file identifier", 0x14: "Implicit DF selection", 0x13: "Short EF identifier supported",
		0x12: "Record number supported", 0x11: "Record identifier supported",
	}
)

// emv is what EMV contact level 1 (8.3) refuses in the ATR of a card with contacts.
// This reader takes none of them; the words help who holds a card in hand.
func (a atr) emv() error {
	tb1, ok := a.find('B', 1)
	if !ok || tb1 != 0 {
		return errors.New("TB1 must be there, and 00")
	}
	if tc1, ok := a.find('C', 1); !ok || tc1 != 0x00 && tc1 != 0xFF {
		return errors.New("TC1 must be there, 00 or FF")
	}
	if len(a.protocols) > 0 && a.protocols[0] > 1 {
		return errors.New("TD1 must offer T=0 or T=1")
	}
	if ta2, ok := a.find('A', 2); ok && (ta2&0x10 != 0 || ta2&0x0F != a.protocols[0]) {
		return errors.New("TA2 must be the specific mode of TD1's protocol")
	}
	if tc2, ok := a.find('C', 2); ok && tc2 != 0x0A {
		return errors.New("TC2 must be 0A")
	}
	if len(a.protocols) == 0 || a.protocols[0] == 0 {
		return a.globals()
	}
	if len(a.protocols) < 2 || a.protocols[1] != 1 {
		return errors.New("TD2 must announce bytes of T=1")
	}
	if ta3, ok := a.find('A', 3); ok && (ta3 < 0x10 || ta3 == 0xFF) {
		return errors.New("TA3 must be 10 to FE")
	}
	if tb3, ok := a.find('B', 3); !ok || tb3>>4 > 4 || tb3&0x0F > 5 {
		return errors.New("TB3 must be there, BWI at most 4 and CWI at most 5")
	}
	if tc3, ok := a.find('C', 3); ok && tc3 != 0 {
		return errors.New("TC3 must be 00")
	}
	return nil
}

// globals judges TA3 after T=0, which then is clock stop and class.
func (a atr) globals() error {
	if ta3, ok := a.find('A', 3); ok && len(a.protocols) > 1 && a.protocols[1] == 15 && (ta3&0x3F == 0 || ta3&0x3F > 7) {
		return errors.New("TA3 names no class")
	}
	return nil
}
