package dict

import (
	"fmt"
	"strings"
)

// bit is a bit of a field: byte (from 1) in the high nibble, bit (from 1) in the
// low one, so that 0x27 reads B2b7, as scheme 0 writes it.
type bit byte

func (b bit) String() string { return fmt.Sprintf("B%db%d", b>>4, b&0x0F) }

// flagNames are the meanings of the bits of one field; a bit without a name is RFU.
type flagNames map[bit]string

type flagKey struct {
	form   form
	kernel Kernel
}

// flagTables are the fields of bits that are a whole element.
var flagTables = map[flagKey]flagNames{
	{formTVR, Scheme}: { // scheme 5.4
		0x17: "CA key unknown", 0x16: "certificate data missing", 0x15: "device on exception list",
		0x14: "issuer certificate failed", 0x13: "device certificate failed",
		0x12: "evidence signature failed", 0x11: "blinding check failed",
		0x28: "applet version ≠ 0001", 0x27: "expired (5F24 or certificate)",
		0x26: "not yet effective (5F25 or certificate)", 0x25: "usage does not allow this sale",
		0x24: "certificate revoked", 0x23: "account currency ≠ sale currency",
		0x38: "CVM required and not done", 0x37: "unknown CVD value",
		0x48: "floor limit exceeded", 0x47: "no valid allowance grant",
		0x46: "allowance or per-tap limit exceeded, other currency",
		0x45: "rollback: ATC or allowance not rising at this terminal", 0x44: "cashier forces online",
		0x43: "terminal's own offline exposure limit reached", 0x42: "clock not trusted",
		0x41: "CRL older than crl_max_age_days", 0x55: "AID mismatch", 0x54: "relay time threshold",
		0x53: "relay time limits exceeded", 0x52: "relay check performed",
		0x51: "relay check required but not performed",
	},
	{formTVR, Book}: { // EMV book 3 annex C5, book C-8 for the relay
		0x18: "Offline data authentication was not performed", 0x17: "SDA failed", 0x16: "ICC data missing",
		0x15: "Card appears on terminal exception file", 0x14: "DDA failed", 0x13: "CDA failed", 0x12: "SDA selected",
		0x28: "ICC and terminal have different application versions", 0x27: "Expired application",
		0x26: "Application not yet effective", 0x25: "Requested service not allowed for card product", 0x24: "New card",
		0x38: "Cardholder verification was not successful", 0x37: "Unrecognised CVM", 0x36: "PIN Try Limit exceeded",
		0x35: "PIN entry required and PIN pad not present or not working",
		0x34: "PIN entry required, PIN pad present, but PIN was not entered", 0x33: "Online PIN entered",
		0x48: "Transaction exceeds floor limit", 0x47: "Lower consecutive offline limit exceeded",
		0x46: "Upper consecutive offline limit exceeded", 0x45: "Transaction selected randomly for online processing",
		0x44: "Merchant forced transaction online", 0x58: "Default TDOL used", 0x57: "Issuer authentication failed",
		0x56: "Script processing failed before final GENERATE AC", 0x55: "Script processing failed after final GENERATE AC",
		0x54: "Relay resistance threshold exceeded", 0x53: "Relay resistance time limits exceeded",
		0x52: "Relay resistance performed", 0x51: "Relay resistance not performed",
	},
	{formTSI, Scheme}: {
		0x18: "certificates checked", 0x17: "CVM evaluated", 0x14: "terminal risk done", 0x11: "evidence verified",
		0x28: "answer came by recovery", 0x27: "relay performed",
	},
	{formTSI, Book}: {
		0x18: "Offline data authentication was performed", 0x17: "Cardholder verification was performed",
		0x16: "Card risk management was performed", 0x15: "Issuer authentication was performed",
		0x14: "Terminal risk management was performed", 0x13: "Script processing was performed",
	},
	{formAIP, Scheme}: { // scheme 4.2
		0x18: "evidence", 0x17: "CDCVM supported", 0x11: "channel", 0x24: "offline capable", 0x21: "relay",
	},
	{formAIP, Book}: {
		0x17: "SDA supported", 0x16: "DDA supported", 0x15: "Cardholder verification supported",
		0x14: "Terminal risk management to be performed", 0x13: "Issuer authentication supported",
		0x12: "On device cardholder verification supported", 0x11: "CDA supported",
		0x28: "EMV mode supported", 0x21: "Relay resistance protocol supported",
	},
	{formUsage, Scheme}: {0x18: "purchase in issuer country", 0x17: "purchase abroad", 0x15: "refund"},
	{formUsage, Book}: {
		0x18: "Valid for domestic cash", 0x17: "Valid for international cash", 0x16: "Valid for domestic goods",
		0x15: "Valid for international goods", 0x14: "Valid for domestic services", 0x13: "Valid for international services",
		0x12: "Valid at ATMs", 0x11: "Valid at terminals other than ATMs",
		0x28: "Domestic cashback allowed", 0x27: "International cashback allowed",
	},
	{formCapabilities, Book}: {
		0x18: "Manual key entry", 0x17: "Magnetic stripe", 0x16: "IC with contacts",
		0x28: "Plaintext PIN for ICC verification", 0x27: "Enciphered PIN for online verification", 0x26: "Signature",
		0x25: "Enciphered PIN for offline verification", 0x24: "No CVM required",
		0x38: "SDA", 0x37: "DDA", 0x36: "Card capture", 0x34: "CDA",
	},
	{formMoreCapabilities, Book}: {
		0x18: "Cash", 0x17: "Goods", 0x16: "Services", 0x15: "Cashback", 0x14: "Inquiry", 0x13: "Transfer",
		0x12: "Payment", 0x11: "Administrative", 0x28: "Cash deposit",
		0x38: "Numeric keys", 0x37: "Alphabetical and special characters keys", 0x36: "Command keys", 0x35: "Function keys",
		0x48: "Print, attendant", 0x47: "Print, cardholder", 0x46: "Display, attendant", 0x45: "Display, cardholder",
		0x42: "Code table 10", 0x41: "Code table 9", 0x58: "Code table 8", 0x57: "Code table 7", 0x56: "Code table 6",
		0x55: "Code table 5", 0x54: "Code table 4", 0x53: "Code table 3", 0x52: "Code table 2", 0x51: "Code table 1",
	},
	{formTTQ, Book}: { // EMV book A
		0x18: "Mag-stripe mode supported", 0x16: "EMV mode supported", 0x15: "EMV contact chip supported",
		0x14: "Offline-only reader", 0x13: "Online PIN supported", 0x12: "Signature supported",
		0x11: "Offline data authentication for online authorisations supported",
		0x28: "Online cryptogram required", 0x27: "CVM required", 0x26: "(Contact chip) Offline PIN supported",
		0x38: "Issuer update processing supported", 0x37: "Consumer device CVM supported",
	},
	{formCTQ, Book}: {
		0x18: "Online PIN required", 0x17: "Signature required", 0x16: "Go online if offline data authentication fails",
		0x15: "Switch interface if offline data authentication fails", 0x14: "Go online if application expired",
		0x13: "Switch interface for cash transactions", 0x12: "Switch interface for cashback transactions",
		0x28: "Consumer device CVM performed", 0x27: "Card supports issuer update processing",
	},
}

// Fields of bits inside other values of the scheme.
var (
	certificateUsage = flagNames{0x18: "may issue device certificates", 0x17: "may issue allowance grants"}
	deviceProperties = flagNames{0x18: "signing key in hardware", 0x17: "channel key in hardware", 0x16: "offline approval allowed"}
	cardFeatures     = flagNames{0x18: "evidence", 0x17: "relay", 0x16: "recovery", 0x15: "allowance"}
	iadFlags         = flagNames{0x18: "offline approved", 0x17: "CDCVM done", 0x16: "refund", 0x15: "relay answered"}
	terminalRequest  = flagNames{
		0x18: "CVM required", 0x17: "CDCVM accepted", 0x16: "connected now", 0x15: "may approve offline now",
		0x14: "offline-only terminal", 0x13: "unattended", 0x28: "relay required", 0x27: "floor exceeded",
	}
)

// flags explains the bits that are set, one item each.
func (d *decoder) flags(names flagNames, v []byte, at int) (string, []Item) {
	var items []Item
	for i, c := range v {
		for n := 8; n >= 1; n-- {
			if c>>(n-1)&1 == 1 {
				b := bit((i+1)<<4 | n)
				items = append(items, Item{At: at + i, Length: 1, Tag: b.String(), Name: names.name(b)})
			}
		}
	}
	if len(items) == 0 {
		return "no bit set", nil
	}
	return "", items
}

func (f flagNames) name(b bit) string {
	if name, ok := f[b]; ok {
		return name
	}
	return "RFU"
}

// flagWords is flags on one line.
func flagWords(names flagNames, v []byte) string {
	words, items := (&decoder{}).flags(names, v, 0)
	var list []string
	for _, item := range items {
		list = append(list, item.Name)
	}
	if len(list) == 0 {
		return words
	}
	return strings.Join(list, ", ")
}
