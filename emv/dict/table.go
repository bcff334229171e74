package dict

import (
	"slices"

	"tapkeeper/emv/tlv"
)

// terminal, phone and the others write rows of the tables in their own words.
func terminal(tag tlv.Tag, name string, length int, pdol, cdol1 bool, log Sensitivity) Element {
	return Element{Tag: tag, Name: name, Source: FromTerminal, Min: length, Max: length, Step: 1, PDOL: pdol, CDOL1: cdol1, Log: log}
}

func phone(from Source, tag tlv.Tag, name string, shortest, longest int, log Sensitivity) Element {
	return Element{Tag: tag, Name: name, Source: from, Min: shortest, Max: longest, Step: 1, Log: log}
}

func fixed(from Source, tag tlv.Tag, name string, length int, log Sensitivity) Element {
	return phone(from, tag, name, length, length, log)
}

func template(tag tlv.Tag, name string) Element {
	return Element{Tag: tag, Name: name, Source: FromAny, Format: Constructed, Max: anyLength, Step: 1, Log: Open}
}

func (e Element) number() Element      { e.Format = Numeric; return e }
func (e Element) text() Element        { e.Format = Alphanumeric; return e }
func (e Element) compressed() Element  { e.Format = Compressed; return e }
func (e Element) signed() Element      { e.Signed = true; return e }
func (e Element) by(n int) Element     { e.Step = n; return e }
func (e Element) in(t tlv.Tag) Element { e.Template = t; return e }
func (e Element) as(f form) Element    { e.form = f; return e }

// anyLength stands for "var": what a certificate's length means is judged in
// scheme 2.5, not by the parser.
const anyLength = tlv.MaxValue

// table is every row: the scheme's, which bind the kernel, and the books'.
var table = slices.Concat(schemeRows, bookRows)

var schemeRows = []Element{
	// Scheme 4.1.
	terminal(0x9F2B, "Kernel Qualifier", 8, true, false, Open).as(formKernelQualifier),
	terminal(0x9E, "Kernel Key Data", 64, true, false, Open),
	terminal(0x9F02, "Amount", 6, true, true, Open).number().as(formAmount),
	terminal(0x9F03, "Amount other", 6, false, true, Open).number().as(formAmount),
	terminal(0x5F2A, "Currency", 2, true, true, Open).number().as(formCurrency),
	terminal(0x9F1A, "Terminal country", 2, true, true, Open).number().as(formCountry),
	terminal(0x9A, "Date", 3, false, true, Open).number().as(formDate),
	terminal(0x9F21, "Time", 3, false, true, Open).number().as(formTime),
	terminal(0x9C, "Type", 1, true, true, Open).number().as(formType),
	terminal(0x9F37, "Unpredictable number", 4, true, true, Open),
	terminal(0x95, "TVR", 5, false, true, Open).as(formTVR),
	terminal(0x9F1C, "Terminal id", 8, false, true, Open).text(),
	terminal(0xDF8B21, "Merchant id hash", 8, false, true, Open),
	terminal(0xDF8B22, "Transaction id", 16, false, true, Open),
	terminal(0xDF8B23, "Relay data", 14, false, true, Open).as(formRelayData),
	terminal(0xDF8B24, "Original reference", 16, false, true, Never),
	terminal(0xDF8B26, "Terminal request", 2, true, true, Open).as(formTerminalRequest),
	terminal(0x9F06, "Terminal AID", 16, false, true, Open).as(formAID),
	// Scheme 3.4. They stand only in the PPSE answer.
	phone(FromDirectory, 0x4F, "ADF name", 0, 16, Open).in(0x61).as(formAID),
	phone(FromDirectory, 0x9F2A, "Kernel identifier", 0, 16, Open).in(0x61),
	// Scheme 3.5.
	phone(FromFCI, 0x84, "ADF name", 5, 16, Open).in(0x6F).as(formAID),
	phone(FromFCI, 0x50, "Label", 1, 16, Open).text().in(0xA5),
	fixed(FromFCI, 0x87, "Priority", 1, Open).in(0xA5).as(formPriority),
	phone(FromFCI, 0x9F38, "PDOL", 0, 64, Open).in(0xA5).as(formDOL),
	fixed(FromFCI, 0x9F2C, "Card qualifier", 7, Open).in(0xBF0C).as(formCardQualifier),
	// Scheme 4.2.
	fixed(FromGPO, 0x82, "AIP", 2, Open).in(0x77).as(formAIP),
	phone(FromGPO, 0x94, "AFL", 4, 32, Open).by(4).in(0x77).as(formAFL),
	fixed(FromGPO, 0x9F8103, "Card Key Data", 64, Never).in(0x77),
	fixed(FromRecord, 0x8F, "CA key index", 1, Open).in(0x70),
	phone(FromRecord, 0x90, "Issuer certificate", 0, anyLength, Open).in(0x70).as(formCertificate),
	phone(FromRecord, 0x9F46, "Device certificate", 0, anyLength, Never).as(formCertificate),
	phone(FromRecord, 0xDF8B11, "Allowance grant", 0, anyLength, Never).as(formGrant),
	fixed(FromRecord, 0xDF8B01, "Device id", 8, Masked).signed(),
	phone(FromRecord, 0x8C, "CDOL1", 0, 128, Open).signed().as(formDOL),
	fixed(FromRecord, 0x5F24, "Application expiry", 3, Open).number().signed().as(formDate),
	fixed(FromRecord, 0x5F25, "Application effective", 3, Open).number().signed().as(formDate),
	fixed(FromRecord, 0x5F28, "Issuer country", 2, Open).number().signed().as(formCountry),
	fixed(FromRecord, 0x9F42, "Account currency", 2, Open).number().signed().as(formCurrency),
	fixed(FromRecord, 0x9F08, "Applet version", 2, Open).signed(),
	fixed(FromRecord, 0x9F07, "Usage", 2, Open).signed().as(formUsage),
	fixed(FromRecord, 0x9F25, "Last four digits", 2, Open).number().signed(),
	fixed(FromGenerateAC, 0x9F27, "CID", 1, Open).in(0x77).as(formCID),
	fixed(FromGenerateAC, 0x9F36, "ATC", 2, Open).in(0x77).as(formCount),
	fixed(FromGenerateAC, 0x9F8102, "CVD", 1, Open).in(0x77).as(formCVD),
	fixed(FromGenerateAC, 0x9F10, "IAD", 18, Open).in(0x77).as(formIAD),
	fixed(FromGenerateAC, 0xDF8B10, "Allowance state", 34, Open).in(0x77).as(formState),
	fixed(FromGenerateAC, 0xDF8B0A, "Merchant reference", 16, Never).in(0x77),
	fixed(FromGenerateAC, 0x9F8108, "Restart indicator", 2, Open).in(0x77).as(formRestart),
	fixed(FromGenerateAC, 0x9F26, "Application cryptogram", 8, Open).in(0x77),
	fixed(FromGenerateAC, 0x9F8105, "EDA-MAC", 8, Open).in(0x77),
	fixed(FromGenerateAC, 0x9F4B, "Evidence", 65, Open).in(0x77).as(formEvidence),
	// Scheme 9.1. They hold the values above and are never in an answer.
	phone(FromEvidence, 0xBF8B01, "Evidence record", 0, anyLength, Never).as(formRecord),
	phone(FromEvidence, 0xDF8B30, "Record version", 1, 1, Open).in(0xBF8B01),
	phone(FromEvidence, 0xDF8B31, "Record kind", 1, 1, Open).in(0xBF8B01).as(formRecordKind),
	phone(FromEvidence, 0xDF8B32, "PDOL data", 0, anyLength, Never).in(0xBF8B01).as(formPDOLData),
	phone(FromEvidence, 0xDF8B33, "CDOL1 data", 0, anyLength, Never).in(0xBF8B01).as(formCDOL1Data),
	phone(FromEvidence, 0xDF8B34, "GENERATE AC answer", 0, anyLength, Never).in(0xBF8B01).as(formObjects),
	phone(FromEvidence, 0xDF8B36, "Signed records", 0, anyLength, Never).in(0xBF8B01).as(formObjects),
	phone(FromEvidence, 0xDF8B37, "Reason", 1, 1, Open).in(0xBF8B01).as(formReason),
	phone(FromEvidence, 0x9B, "TSI", 2, 2, Open).in(0xBF8B01).as(formTSI),
	phone(FromEvidence, 0x9F34, "CVM results", 3, 3, Open).in(0xBF8B01).as(formCVMResults),
	// The six that are parsed (scheme 0.1 rule 3).
	template(0x6F, "FCI"),
	template(0xA5, "FCI proprietary"),
	template(0xBF0C, "FCI discretionary"),
	template(0x61, "Directory entry"),
	template(0x70, "Record"),
	template(0x77, "Response"),
	// Scheme 4.3. Only the terminal that drew the key can look into it.
	phone(FromAny, 0xDA, "Encrypted record", 0, anyLength, Never),
}

type place struct {
	kernel Kernel
	tag    tlv.Tag
}

var index = func() map[place]int {
	m := make(map[place]int, len(table))
	for i, e := range table {
		m[place{e.Kernel, e.Tag}] = i
	}
	return m
}()
