package zvt

import "fmt"

// Result codes that a cash register acts on (PA00P015, chapter 10).
const (
	CodeDone          = 0x00
	codeNotPossible   = 0x6A
	CodeNotRegistered = 0x6B
	CodeTimeout       = 0x6C // or the abort key
	codeProtocol      = 0x9A
	codeWait          = 0x9C
	CodeNotReady      = 0xA0
	CodeReversed      = 0xB4
	codeDayOpen       = 0xF0
)

var codeWords = map[byte]string{
	0x00: "done", 0x64: "card not readable", 0x65: "no card data", 0x66: "processing error", 0x67: "not permitted for this card",
	0x68: "not permitted for foreign cards", 0x6A: "function not possible", 0x6B: "terminal is not registered",
	0x6C: "aborted by time-out or key", 0x6D: "card is not accepted", 0x6E: "card is not permitted", 0x6F: "wrong currency",
	0x71: "chip not readable", 0x78: "card has expired", 0x9A: "protocol error", 0x9B: "no host can be reached",
	0x9C: "terminal is busy, wait", 0xA0: "receiver not ready", 0xA1: "remote station does not respond",
	0xB4: "already reversed", 0xB5: "reversal not possible", 0xC2: "diagnosis required", 0xC3: "wrong amount",
	0xCC: "printer not ready", 0xDC: "card inserted", 0xF0: "end of day is open", 0xFF: "system error",
}

// Words is what a result code means.
func Words(code byte) string {
	if w, ok := codeWords[code]; ok {
		return w
	}
	if code <= 0x63 {
		return fmt.Sprintf("refused by the host (%02X)", code)
	}
	return fmt.Sprintf("refused by the terminal (%02X)", code)
}

// Words is what an intermediate status asks of the customer.
func (h Hint) Words() string {
	if h.Text != "" {
		return h.Text
	}
	return hintWords[h.Code]
}

var hintWords = map[byte]string{
	0x00: "amount is confirmed", 0x01: "please watch the PIN pad", 0x05: "the host is called", 0x06: "terminal waits for the host",
	0x0A: "insert or present the card", 0x0B: "remove the card", 0x0C: "card not readable", 0x0E: "please wait",
	0x0F: "incorrect PIN", 0x11: "enter the PIN", 0x14: "card is not permitted", 0x17: "please wait",
}
