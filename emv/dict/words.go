package dict

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
)

const suiteWords = "ECDSA P-256 with SHA-256"

func hexOf(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + ", " + b
}

// code is a number of three digits in two bytes.
func code(v []byte) int {
	n, _ := tlv.Number(v)
	return int(n)
}

// currencies and countries are those that a Chinese store meets (ISO 4217, ISO
// 3166-1); others stay numbers.
var (
	currencies = map[int]string{
		156: "CNY", 344: "HKD", 446: "MOP", 392: "JPY", 410: "KRW", 702: "SGD", 764: "THB", 458: "MYR",
		704: "VND", 36: "AUD", 124: "CAD", 554: "NZD", 643: "RUB", 756: "CHF", 826: "GBP", 840: "USD", 978: "EUR",
		356: "INR", 360: "IDR", 608: "PHP", 999: "no currency",
	}
	countries = map[int]string{
		156: "China", 344: "Hong Kong", 446: "Macao", 392: "Japan", 410: "South Korea", 702: "Singapore",
		764: "Thailand", 458: "Malaysia", 704: "Viet Nam", 36: "Australia", 124: "Canada", 554: "New Zealand",
		643: "Russia", 756: "Switzerland", 826: "United Kingdom", 840: "United States", 276: "Germany", 250: "France",
		380: "Italy", 724: "Spain", 528: "Netherlands", 56: "Belgium", 356: "India", 360: "Indonesia", 608: "Philippines",
	}
)

// Words of single bytes.
var (
	typeWords      = map[byte]string{0x00: "purchase", 0x01: "cash", 0x09: "purchase with cashback", 0x20: "refund"}
	cvdWords       = map[byte]string{0x00: "none", 0x03: "CDCVM done", 0xFF: "CVM failed"}
	kindWords      = map[byte]string{0x01: "wallet balance", 0x02: "bank card bound to the wallet"}
	recordKinds    = map[byte]string{1: "approved offline", 2: "online request", 3: "declined", 4: "reversal", 5: "suspect (MAC failed)", 6: "refund"}
	cidTypes       = [4]string{"AAC", "TC", "ARQC", "RFU"}
	cidNames       = [4]string{"Application Authentication Cryptogram (AAC)", "Transaction Certificate (TC)", "Authorisation Request Cryptogram (ARQC)", "RFU"}
	languages      = map[string]string{"zh": "Chinese", "en": "English", "de": "German", "es": "Spanish", "fr": "French", "hi": "Hindi", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "ms": "Malay", "nl": "Dutch", "pt": "Portuguese", "ru": "Russian", "th": "Thai", "vi": "Vietnamese"}
	cidReasons     = map[byte]string{1: "service not allowed", 2: "PIN try limit exceeded", 3: "issuer authentication failed"}
	cvmOutcomes    = map[byte]string{0: "unknown", 1: "failed", 2: "successful"}
	methods        = map[byte]string{0x00: "fail CVM processing", 0x01: "plaintext PIN by ICC", 0x02: "enciphered PIN online", 0x03: "plaintext PIN by ICC and signature", 0x04: "enciphered PIN by ICC", 0x05: "enciphered PIN by ICC and signature", 0x1E: "signature", 0x1F: "no CVM required"}
	conditionWords = map[byte]string{0: "always", 1: "if unattended cash", 2: "if not unattended cash, manual cash or purchase with cashback", 3: "if terminal supports the CVM", 4: "if manual cash", 5: "if purchase with cashback", 6: "if in the application's currency and under X", 7: "if in the application's currency and over X", 8: "if in the application's currency and under Y", 9: "if in the application's currency and over Y"}
	terminalTypes  = map[byte]string{
		0x11: "financial institution, attended, online only", 0x12: "financial institution, attended, offline with online capability",
		0x13: "financial institution, attended, offline only", 0x14: "financial institution, unattended, online only",
		0x15: "financial institution, unattended, offline with online capability", 0x16: "financial institution, unattended, offline only",
		0x21: "merchant, attended, online only", 0x22: "merchant, attended, offline with online capability",
		0x23: "merchant, attended, offline only", 0x24: "merchant, unattended, online only",
		0x25: "merchant, unattended, offline with online capability", 0x26: "merchant, unattended, offline only",
		0x34: "cardholder, unattended, online only", 0x35: "cardholder, unattended, offline with online capability", 0x36: "cardholder, unattended, offline only",
	}
)

func orRFU(words map[byte]string, b byte) string {
	if w, ok := words[b]; ok {
		return w
	}
	return "RFU"
}

// century is where two-digit years turn: 50 to 99 are 1950 to 1999 (EMV book 4
// 6.7.3). The scheme knows 20YY only, and no tap of it is before 2000.
const century = 0x50

// dateWords reads n6 YYMMDD.
func dateWords(k Kernel, v []byte) string {
	if v[1] == 0 || v[1] > 0x12 || v[2] == 0 || v[2] > 0x31 {
		return "not a date"
	}
	first := "20"
	if k == Book && v[0] >= century {
		first = "19"
	}
	return fmt.Sprintf("%s%02X-%02X-%02X", first, v[0], v[1], v[2])
}

// longDate reads n8 YYYYMMDD.
func longDate(v []byte) string {
	if !tlv.IsBCD(v) {
		return "not a date"
	}
	return fmt.Sprintf("%02X%02X-%02X-%02X", v[0], v[1], v[2], v[3])
}

// minuteWords reads n12 YYYYMMDDhhmm.
func minuteWords(v []byte) string {
	if !tlv.IsBCD(v) {
		return "not a time"
	}
	return fmt.Sprintf("%s %02X:%02X", longDate(v[:4]), v[4], v[5])
}

func minor(v []byte) string {
	n, ok := tlv.Number(v)
	if !ok {
		return "not a number"
	}
	return fmt.Sprintf("%d minor units", n)
}

// quoted is text with everything but printable ASCII replaced (scheme 3.5).
func quoted(v []byte) string {
	b := bytes.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7E {
			return '.'
		}
		return r
	}, v)
	return `"` + string(b) + `"`
}

func priorityWords(b byte) string {
	if b&0x0F == 0 {
		return "no priority"
	}
	return fmt.Sprintf("priority %d", b&0x0F)
}

func restartWords(v []byte) string {
	if v[0] == 0x20 && (v[1] == 0x20 || v[1] == 0x21) { // scheme 5.5 step 5
		return "tap again: " + map[byte]string{0x20: "see phone", 0x21: "present again"}[v[1]]
	}
	return "ignored"
}

// cidWords is byte 9F27: the scheme takes three values, the books have parts.
func cidWords(k Kernel, b byte) string {
	if k == Scheme {
		if b&0x3F != 0 {
			return cidTypes[b>>6] + " with bits that the scheme does not know"
		}
		return cidTypes[b>>6]
	}
	words := cidNames[b>>6]
	if special := b & 0x30; special != 0 {
		words = join(words, fmt.Sprintf("payment system-specific cryptogram 0x%02X", special))
	}
	advice := "no advice required"
	if b&0x08 != 0 {
		advice = "advice required"
	}
	words = join(words, advice)
	if reason := b & 0x07; reason != 0 {
		words = join(words, orRFU(cidReasons, reason))
	}
	return words
}

// wordsOfPairs names the values of a list of two bytes each.
func wordsOfPairs(v []byte, name func([]byte) string) string {
	words := ""
	for ; len(v) >= 2; v = v[2:] {
		one := name(v[:2])
		if one == "" {
			one = "unknown"
		}
		words = join(words, one)
	}
	return words
}

// kernelWords is 9F2A (EMV book B 3.3.2.5).
func kernelWords(v []byte) string {
	words := fmt.Sprintf("Kernel C-%d", v[0]&0x3F)
	switch v[0] >> 6 {
	case 0:
		return join(words, "International")
	case 2:
		words = join(words, "EMVCo")
		if len(v) >= 3 {
			words = join(words, currencies[code(v[1:3])])
		}
		return words
	case 3:
		return join(words, "Proprietary")
	}
	return join(words, "RFU")
}

// scriptWords names the command of an issuer's script.
func scriptWords(v []byte) string {
	name, ok := instructionNames[v[1]]
	switch {
	case !ok:
		return "unknown command"
	case v[1] == insPutData:
		return fmt.Sprintf("%s for BER-TLV field %02X%02X", name, v[2], v[3])
	}
	return name
}

func methodWords(b byte) string {
	b &= 0x3F
	switch w, ok := methods[b]; {
	case ok:
		return w
	case b >= 0x20 && b <= 0x2F:
		return "the payment system's own method"
	case b >= 0x30 && b <= 0x3E:
		return "the issuer's own method"
	}
	return "RFU"
}

// cvmResultWords is 9F34. The scheme has three values (scheme 8.1).
func cvmResultWords(k Kernel, v []byte) string {
	if k == Scheme {
		words, ok := map[[3]byte]string{{0x01, 0x00, 0x02}: "CDCVM done", {0x1F, 0x00, 0x02}: "none required", {0x3F, 0x00, 0x01}: "failed"}[[3]byte(v)]
		if !ok {
			words = "not a value of the scheme"
		}
		return words
	}
	method := methodWords(v[0])
	if v[0] == 0x3F {
		method = "no CVM performed"
	}
	return method + "; " + orRFU(conditionWords, v[1]) + "; " + orRFU(cvmOutcomes, v[2])
}

// applications are registered application identifiers that a reader meets, the
// longest first where one starts another.
var applications = []struct{ prefix, name string }{
	{"F05441504B0101", "scheme, wallet balance"}, {"F05441504B0102", "scheme, bank card"}, {"F05441504B", "scheme"},
	{"A0000000031010", "Visa"}, {"A0000000032010", "Visa Electron"}, {"A0000000032020", "V PAY"}, {"A000000003", "Visa"},
	{"A0000000041010", "Mastercard"}, {"A0000000043060", "Maestro"}, {"A0000000042203", "Mastercard US Maestro"}, {"A000000004", "Mastercard"},
	{"A000000333010101", "UnionPay debit"}, {"A000000333010102", "UnionPay credit"}, {"A000000333010103", "UnionPay quasi-credit"},
	{"A000000333", "UnionPay"}, {"A00000002501", "American Express"}, {"A000000025", "American Express"}, {"A0000000651010", "JCB"},
	{"A0000001523010", "Discover"}, {"A000000152", "Discover"}, {"A0000003241010", "Discover"}, {"A0000002771010", "Interac"},
	{"A0000000421010", "CB"}, {"A000000042", "CB"}, {"A0000006581010", "Mir"}, {"A0000005241010", "RuPay"}, {"A00000038410", "eftpos"},
	{"D27600002545", "girocard"}, {"A0000003591010", "girocard"}, {"A000000632010105", "China T-Union"}, {"A000000632", "China T-Union"},
}

// rid is the scheme's (scheme 1.4).
const rid = "\xF0TAPK"

// RID is the first five bytes of the scheme's application identifiers.
func RID() []byte { return []byte(rid) }

// Applications are the well-known application identifiers, the scheme's first.
func Applications() [][]byte {
	var list [][]byte
	for _, a := range applications {
		if b, err := hex.DecodeString(a.prefix); err == nil && len(b) >= aidSize {
			list = append(list, b)
		}
	}
	return list
}

// aidSize leaves out bare RIDs: cards of other applications answer to them too.
const aidSize = 6

// applicationName names an AID or the two directories.
func applicationName(v []byte) string {
	switch string(v) {
	case apdu.PPSE:
		return "PPSE, the contactless directory"
	case "1PAY.SYS.DDF01":
		return "PSE, the contact directory"
	}
	text := hexOf(v)
	for _, a := range applications {
		if strings.HasPrefix(text, a.prefix) {
			return a.name
		}
	}
	return ""
}

// minPAN is where showing ten digits still hides some (ISO/IEC 7812 has 13 and
// more in practice).
const minPAN = 13

// accountDigits are the digits of format cn, none if it is something else.
func accountDigits(v []byte) string {
	digits := strings.TrimRight(hexOf(v), "F")
	if strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return digits
}

// looksLikePAN finds a run of 13 to 19 digits with the check digit of ISO/IEC
// 7812-1 in BCD or in text.
func looksLikePAN(v []byte) bool {
	for _, text := range []string{hexOf(v), string(v)} {
		for _, run := range strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
			for from := 0; from+minPAN <= len(run); from++ {
				for n := minPAN; n <= 19 && from+n <= len(run); n++ {
					if run[from] != '0' && checkDigit(run[from:from+n]) {
						return true
					}
				}
			}
		}
	}
	return false
}

func checkDigit(number string) bool {
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return sum%10 == 0
}
