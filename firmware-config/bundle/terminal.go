package bundle

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"tapkeeper/emv"
)

// terminalName is the one terminal file that is read.
const terminalName = "terminal/default.toml"

const (
	maxMinor = 999_999_999_999 // n12, scheme 0
	// Records older than 30 days are not taken by the wallet (docs/terminal.md).
	maxAgeHours = 30 * 24
	// A terminal that takes more payments on trust than this has lost its wallet, not its network.
	maxPayments = 100_000
	// Three times the scheme's default: older revocation data protects nobody.
	maxCRLAgeDays = 90
	maxAIDs       = 16 // each may cost a SELECT within the tap (scheme 5.9)
)

// alwaysDenied are the TVR bits that every TAC-Denial must contain (scheme 5.6).
var alwaysDenied = emv.TVR{0xFF, 0x08, 0xC0, 0x00, 0x10}

// testRID is scheme 1.4's identifier: category F, registered with nobody.
var testRID = []byte{0xF0, 0x54, 0x41, 0x50, 0x4B}

// loadTerminal reads the terminal's file into the bundle; the CA keys are there already.
func (b *Bundle) loadTerminal(fsys fs.FS) []Fault {
	c := &inspector{file: terminalName}
	var f terminalFile
	if !c.read(fsys, maxFileBytes, &f) {
		return c.faults
	}
	c.within("schema", f.Schema, schema, schema)
	c.want(f.Name != "", "name", "a name", "nothing")
	c.languages(f.Languages)
	b.Name, b.Languages = f.Name, f.Languages
	b.Terminal.OfflineOnly, b.Terminal.Unattended = f.OfflineOnly, f.Unattended
	b.Currencies = c.currencies(f.Currencies)
	b.Limits = c.limits(f.Limits)
	c.relay(f.Relay)
	b.Terminal.Relay = f.Relay.kernel()
	profiles := c.tacs(f.TAC)
	c.want(len(f.AIDs) > 0 && len(f.AIDs) <= maxAIDs, "aids", fmt.Sprintf("1 to %d applications", maxAIDs), len(f.AIDs))
	c.want(slices.ContainsFunc(f.AIDs, func(a aidFile) bool { return a.Enabled }), "aids", "at least one enabled application", "none")
	for i, a := range f.AIDs {
		b.loadAID(c, fmt.Sprintf("aids[%d].", i), a, profiles)
	}
	return c.faults
}

// loadAID checks one application and, when its AID can be read, adds it.
func (b *Bundle) loadAID(c *inspector, at string, f aidFile, profiles map[string]tac) {
	aid := c.bytes(at+"aid", f.AID, 5, 16)
	currency, country := c.code(at+"currency", f.Currency), c.code(at+"country", f.Country)
	c.want(slices.ContainsFunc(b.Currencies, func(k Currency) bool { return k.Numeric == currency }),
		at+"currency", "one of [[currencies]]", quoted(f.Currency))
	c.amounts(at, f)
	c.oneOf(at+"mode", f.Mode, "offline_first", "online_first")
	c.within(at+"crl_max_age_days", f.CRLMaxAge, 1, maxCRLAgeDays)
	profile, ok := profiles[f.TAC]
	c.want(ok, at+"tac", "the name of a [tac] table", quoted(f.TAC))
	if aid == nil {
		return
	}
	for _, other := range b.Terminal.AIDs {
		// A prefix matches first (scheme 3.4), so the longer one could never be chosen.
		c.want(!bytes.HasPrefix(aid, other.AID), at+"aid", "an AID that no earlier one is the beginning of", f.AID)
	}
	hasKey := false
	for _, k := range b.Terminal.CAKeys {
		hasKey = hasKey || bytes.HasPrefix(aid, k.RID[:])
	}
	c.want(hasKey, at+"aid", fmt.Sprintf("a CA key in capk/%s for RID %X that has not expired", b.Environment, aid[:5]), "none")
	c.want(b.Environment != Live || !bytes.HasPrefix(aid, testRID), at+"aid", "a RID of the operator's own in a live environment", "the test RID")
	b.Terminal.AIDs = append(b.Terminal.AIDs, f.kernel(aid, currency, country, profile))
}

// amounts checks the four limits of an AID against each other; absent ones must be named.
func (c *inspector) amounts(at string, f aidFile) {
	limits := []struct {
		name  string
		value *int64
	}{{"tx", f.TxLimit}, {"floor", f.FloorLimit}, {"cvm", f.CVMLimit}, {"relay", f.RelayLimit}}
	for _, l := range limits {
		field := at + l.name + "_limit_minor"
		waived := slices.Contains(f.Unlimited, l.name)
		if l.value == nil {
			c.want(waived, field, fmt.Sprintf("an amount, or %q in unlimited", l.name), "neither")
			continue
		}
		c.want(!waived, field, fmt.Sprintf("an amount or %q in unlimited", l.name), "both")
		c.within(field, *l.value, 0, maxMinor)
	}
	for _, name := range f.Unlimited {
		c.oneOf(at+"unlimited", name, "tx", "floor", "cvm", "relay")
	}
	if f.TxLimit != nil && f.FloorLimit != nil {
		c.want(*f.FloorLimit <= *f.TxLimit, at+"floor_limit_minor", fmt.Sprintf("at most tx_limit_minor (%d)", *f.TxLimit), *f.FloorLimit)
	}
}

// limits checks the terminal's exposure; a limit of 0 would refuse every offline payment without saying so.
func (c *inspector) limits(f limitsFile) Limits {
	c.within("limits.max_payments", f.Payments, 1, maxPayments)
	c.within("limits.max_sum_minor", f.Sum, 1, maxMinor)
	c.within("limits.max_device_minor", f.Device, 1, f.Sum)
	c.within("limits.max_age_hours", f.AgeHours, 1, maxAgeHours)
	return Limits{Payments: f.Payments, SumMinor: f.Sum, PerDevice: f.Device, Age: time.Duration(f.AgeHours) * time.Hour}
}

// relay checks the constants of scheme 5.7, which are u16 on the wire.
func (c *inspector) relay(f relayFile) {
	const u16 = 65535
	c.within("relay.command_100us", f.Command, 0, u16)
	c.within("relay.answer_100us", f.Answer, 0, u16)
	c.within("relay.min_grace_100us", f.MinGrace, 0, u16)
	c.within("relay.max_grace_100us", f.MaxGrace, f.MinGrace, u16)
	c.within("relay.accuracy_100us", f.Accuracy, 0, u16)
	c.within("relay.mismatch_percent", f.Mismatch, 1, 100)
}

// tac is one parsed profile of terminal action codes.
type tac struct{ denial, online, fallback emv.TVR }

// tacs checks every profile, used or not: the next edit may use it.
func (c *inspector) tacs(files map[string]tacFile) map[string]tac {
	parsed := map[string]tac{}
	for name, f := range files {
		at := "tac." + name
		t := tac{c.five(at+".denial", f.Denial), c.five(at+".online", f.Online), c.five(at+".default", f.Default)}
		held := true
		for i, must := range alwaysDenied {
			held = held && t.denial[i]&must == must
		}
		c.want(held, at+".denial", fmt.Sprintf("every bit of %X (scheme 5.6)", alwaysDenied[:]), quoted(f.Denial))
		parsed[name] = t
	}
	return parsed
}

func (c *inspector) five(field, text string) (five emv.TVR) {
	copy(five[:], c.bytes(field, text, 5, 5))
	return five
}

// code reads an n3 code, written as it stands on the wire.
func (c *inspector) code(field, text string) emv.Code {
	n, err := strconv.ParseUint(text, 10, 16)
	c.want(err == nil && len(text) == 4 && text[0] == '0', field, "3 digits after a 0", quoted(text))
	return emv.Code(n)
}

func (c *inspector) currencies(files []currencyFile) []Currency {
	var list []Currency
	for i, f := range files {
		at := fmt.Sprintf("currencies[%d].", i)
		k := Currency{Numeric: c.code(at+"numeric", f.Numeric), Alpha: f.Alpha, Exponent: int(f.Exponent)}
		c.want(len(f.Alpha) == 3 && strings.Trim(f.Alpha, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "", at+"alpha", "3 capital letters", quoted(f.Alpha))
		c.within(at+"exponent", f.Exponent, 0, 4)
		c.want(!slices.ContainsFunc(list, func(o Currency) bool { return o.Numeric == k.Numeric || o.Alpha == k.Alpha }), at+"numeric", "a currency named once", f.Alpha)
		list = append(list, k)
	}
	return list
}

// languages must be among those for which the scheme has texts (scheme 10).
func (c *inspector) languages(list []string) {
	c.want(len(list) > 0, "languages", "at least one language", "none")
	for i, l := range list {
		c.oneOf("languages", l, "zh", "en")
		c.want(!slices.Contains(list[:i], l), "languages", "each language once", quoted(l))
	}
}
