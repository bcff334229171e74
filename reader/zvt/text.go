package zvt

import "strings"

// codePage is the upper half of code page 437, which the texts of a terminal are in (PA00P015, 2.1).
const codePage = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
	"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ "

var upper = []rune(codePage)

// Text is a text of a terminal. Line feeds stay; other control characters do not reach a till, a log or a printer, and
// neither does a card number.
func Text(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		switch {
		case c >= 0x80:
			s.WriteRune(upper[c-0x80])
		case c >= ' ' && c < 0x7F, c == '\n':
			s.WriteByte(c)
		}
	}
	return maskCards(s.String())
}

// A card number has 13 to 19 digits (ISO/IEC 7812-1), often in groups. Four stay.
const (
	minCard, maxCard = 13, 19
	shownDigits      = 4
)

// maskCards hides what may be a card number: whole groups of digits with a space or a hyphen in between, of its length and
// with its check digit.
func maskCards(text string) string {
	b := []byte(text)
	begin, end := 0, 0 // of what is hidden next: numbers that share a group are one
	for at := range b {
		if !isDigit(b[at]) || at > 0 && isDigit(b[at-1]) {
			continue // not the beginning of a group
		}
		n := cardEnd(b[at:])
		if n == 0 {
			continue
		}
		if at >= end {
			hideDigits(b[begin:end])
			begin = at
		}
		end = max(end, at+n)
	}
	hideDigits(b[begin:end])
	return string(b)
}

// cardEnd is where the card number ends that b begins with, 0 when it begins with none. The longest one counts.
func cardEnd(b []byte) (end int) {
	var digits [maxCard]byte
	n := 0
	for i, c := range b {
		switch {
		case isDigit(c) && n == maxCard:
			return end
		case isDigit(c):
			digits[n] = c - '0'
			n++
			if last := i+1 == len(b) || !isDigit(b[i+1]); last && n >= minCard && checks(digits[:n]) {
				end = i + 1
			}
		case c != ' ' && c != '-' || i+1 == len(b) || !isDigit(b[i+1]):
			return end
		}
	}
	return end
}

// checks says whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B).
func checks(digits []byte) bool {
	sum, any := 0, byte(0)
	for i, d := range digits {
		if any |= d; (len(digits)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += int(d)
	}
	return sum%10 == 0 && any != 0
}

func hideDigits(b []byte) {
	shown := 0
	for i := len(b) - 1; i >= 0; i-- {
		if !isDigit(b[i]) {
			continue
		}
		if shown++; shown > shownDigits {
			b[i] = '*'
		}
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// FromText is a text for a terminal; what its code page does not have becomes a question mark.
func FromText(s string) []byte {
	var b []byte
	for _, r := range s {
		switch i := strings.IndexRune(codePage, r); {
		case r < 0x80:
			b = append(b, byte(r))
		case i < 0:
			b = append(b, '?')
		default:
			b = append(b, 0x80+byte(len([]rune(codePage[:i]))))
		}
	}
	return b
}
