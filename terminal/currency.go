package terminal

import "tapkeeper/emv"

// currencies are those that a terminal can be configured for: ISO 4217 codes
// of the wallet's markets. The kernel uses the numeric code, people the letters.
var currencies = map[string]emv.Code{
	"CNY": 156, "HKD": 344, "MOP": 446, "SGD": 702, "EUR": 978, "USD": 840,
}

func numericCurrency(code string) (emv.Code, bool) {
	n, ok := currencies[code]
	return n, ok
}

// Currency is the terminal's first configured currency: the one that limits and
// exposure are in, for nothing else is accepted offline (scheme 8.3).
func (t *Terminal) Currency() string {
	for code, n := range currencies {
		for _, aid := range t.cfg.Kernel.AIDs {
			if aid.Currency == n {
				return code
			}
		}
	}
	return "CNY"
}
