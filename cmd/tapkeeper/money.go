package main

import (
	"fmt"
	"strconv"
	"strings"
)

// symbols of the currencies that tills show.
var symbols = map[string]string{"CNY": "¥", "HKD": "HK$", "SGD": "S$", "EUR": "€", "USD": "$", "MOP": "MOP$"}

// parseMoney reads an amount as people write it, with at most two decimals. It
// never goes through a float.
func parseMoney(s string) (minor int64, err error) {
	whole, cents, hasCents := strings.Cut(s, ".")
	if hasCents && (len(cents) == 0 || len(cents) > 2) {
		return 0, fmt.Errorf("amount %q: want at most two decimals, like 12.50", s)
	}
	for len(cents) < 2 {
		cents += "0"
	}
	minor, err = strconv.ParseInt(whole+cents, 10, 64)
	if err != nil || minor <= 0 || strings.ContainsAny(s, "+-_") || whole == "" {
		return 0, fmt.Errorf("amount %q: want a positive amount, like 12.50", s)
	}
	return minor, nil
}

func formatMoney(minor int64, currency string) string {
	symbol, ok := symbols[currency]
	if !ok {
		symbol = currency + " "
	}
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	return fmt.Sprintf("%s%s%d.%02d", sign, symbol, minor/100, minor%100)
}
