package zvt

import "strings"

// codePage is the upper half of code page 437, which the texts of a terminal are in (PA00P015, 2.1).
const codePage = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
	"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ "

var upper = []rune(codePage)

// Text is a text of a terminal. Line feeds stay; other control characters do not reach a till, a log or a printer.
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
	return s.String()
}

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
