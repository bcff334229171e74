package dict

import "tapkeeper/emv/tlv"

// terminal, phone and the others write rows of the tables in their own words.
func terminal(tag tlv.Tag, name string, length int, numeric, pdol, cdol1 bool, log Sensitivity) Element {
	return Element{Tag: tag, Name: name, Source: FromTerminal, Numeric: numeric, Min: length, Max: length, Step: 1, PDOL: pdol, CDOL1: cdol1, Log: log}
}

func phone(from Source, tag tlv.Tag, name string, shortest, longest int, log Sensitivity) Element {
	return Element{Tag: tag, Name: name, Source: from, Min: shortest, Max: longest, Step: 1, Log: log}
}

func fixed(from Source, tag tlv.Tag, name string, length int, log Sensitivity) Element {
	return phone(from, tag, name, length, length, log)
}

func (e Element) number() Element  { e.Numeric = true; return e }
func (e Element) signed() Element  { e.Signed = true; return e }
func (e Element) by(n int) Element { e.Step = n; return e }

// anyLength stands for "var": what a certificate's length means is judged in
// scheme 2.5, not by the parser.
const anyLength = tlv.MaxValue

var table = []Element{
	// Scheme 4.1.
	terminal(0x9F2B, "Kernel Qualifier", 8, false, true, false, Open),
	terminal(0x9E, "Kernel Key Data", 64, false, true, false, Open),
	terminal(0x9F02, "Amount", 6, true, true, true, Open),
	terminal(0x9F03, "Amount other", 6, true, false, true, Open),
	terminal(0x5F2A, "Currency", 2, true, true, true, Open),
	terminal(0x9F1A, "Terminal country", 2, true, true, true, Open),
	terminal(0x9A, "Date", 3, true, false, true, Open),
	terminal(0x9F21, "Time", 3, true, false, true, Open),
	terminal(0x9C, "Type", 1, true, true, true, Open),
	terminal(0x9F37, "Unpredictable number", 4, false, true, true, Open),
	terminal(0x95, "TVR", 5, false, false, true, Open),
	terminal(0x9F1C, "Terminal id", 8, false, false, true, Open),
	terminal(0xDF8B21, "Merchant id hash", 8, false, false, true, Open),
	terminal(0xDF8B22, "Transaction id", 16, false, false, true, Open),
	terminal(0xDF8B23, "Relay data", 14, false, false, true, Open),
	terminal(0xDF8B24, "Original reference", 16, false, false, true, Never),
	terminal(0xDF8B26, "Terminal request", 2, false, true, true, Open),
	terminal(0x9F06, "Terminal AID", 16, false, false, true, Open),
	// Scheme 3.5.
	phone(FromFCI, 0x84, "ADF name", 5, 16, Open),
	phone(FromFCI, 0x50, "Label", 1, 16, Open),
	fixed(FromFCI, 0x87, "Priority", 1, Open),
	phone(FromFCI, 0x9F38, "PDOL", 0, 64, Open),
	fixed(FromFCI, 0x9F2C, "Card qualifier", 7, Open),
	// Scheme 4.2.
	fixed(FromGPO, 0x82, "AIP", 2, Open),
	phone(FromGPO, 0x94, "AFL", 4, 32, Open).by(4),
	fixed(FromGPO, 0x9F8103, "Card Key Data", 64, Never),
	fixed(FromRecord, 0x8F, "CA key index", 1, Open),
	phone(FromRecord, 0x90, "Issuer certificate", 0, anyLength, Open),
	phone(FromRecord, 0x9F46, "Device certificate", 0, anyLength, Never),
	phone(FromRecord, 0xDF8B11, "Allowance grant", 0, anyLength, Never),
	fixed(FromRecord, 0xDF8B01, "Device id", 8, Masked).signed(),
	phone(FromRecord, 0x8C, "CDOL1", 0, 128, Open).signed(),
	fixed(FromRecord, 0x5F24, "Application expiry", 3, Open).number().signed(),
	fixed(FromRecord, 0x5F25, "Application effective", 3, Open).number().signed(),
	fixed(FromRecord, 0x5F28, "Issuer country", 2, Open).number().signed(),
	fixed(FromRecord, 0x9F42, "Account currency", 2, Open).number().signed(),
	fixed(FromRecord, 0x9F08, "Applet version", 2, Open).signed(),
	fixed(FromRecord, 0x9F07, "Usage", 2, Open).signed(),
	fixed(FromRecord, 0x9F25, "Last four digits", 2, Open).number().signed(),
	fixed(FromGenerateAC, 0x9F27, "CID", 1, Open),
	fixed(FromGenerateAC, 0x9F36, "ATC", 2, Open),
	fixed(FromGenerateAC, 0x9F8102, "CVD", 1, Open),
	fixed(FromGenerateAC, 0x9F10, "IAD", 18, Open),
	fixed(FromGenerateAC, 0xDF8B10, "Allowance state", 34, Open),
	fixed(FromGenerateAC, 0xDF8B0A, "Merchant reference", 16, Never),
	fixed(FromGenerateAC, 0x9F8108, "Restart indicator", 2, Open),
	fixed(FromGenerateAC, 0x9F26, "Application cryptogram", 8, Open),
	fixed(FromGenerateAC, 0x9F8105, "EDA-MAC", 8, Open),
	fixed(FromGenerateAC, 0x9F4B, "Evidence", 65, Open),
	// Scheme 9.1. They hold the values above and are never in an answer.
	phone(FromEvidence, 0xBF8B01, "Evidence record", 0, anyLength, Never),
	phone(FromEvidence, 0xDF8B30, "Record version", 1, 1, Open),
	phone(FromEvidence, 0xDF8B31, "Record kind", 1, 1, Open),
	phone(FromEvidence, 0xDF8B32, "PDOL data", 0, anyLength, Never),
	phone(FromEvidence, 0xDF8B33, "CDOL1 data", 0, anyLength, Never),
	phone(FromEvidence, 0xDF8B34, "GENERATE AC answer", 0, anyLength, Never),
	phone(FromEvidence, 0xDF8B36, "Signed records", 0, anyLength, Never),
	phone(FromEvidence, 0xDF8B37, "Reason", 1, 1, Open),
	phone(FromEvidence, 0x9B, "TSI", 2, 2, Open),
	phone(FromEvidence, 0x9F34, "CVM results", 3, 3, Open),
}

var index = func() map[tlv.Tag]int {
	m := make(map[tlv.Tag]int, len(table))
	for i, e := range table {
		m[e.Tag] = i
	}
	return m
}()

// templates are the tags that only hold others.
var templates = map[tlv.Tag]string{
	0x6F: "FCI", 0xA5: "FCI proprietary", 0xBF0C: "FCI discretionary", 0x61: "Directory entry",
	0x70: "Record", 0x77: "Response",
}

// directory holds the elements that stand only in the PPSE answer (scheme 3.4).
var directory = map[tlv.Tag]string{0x4F: "ADF name", 0x9F2A: "Kernel identifier"}
