package dict

import "tapkeeper/emv/tlv"

// book and the others write rows of the EMV books (book 3 annex A, book 1 part
// III, and the public kernel books C-2, C-3 and C-8 where their tags are common).
func book(from Source, tag tlv.Tag, name string, shortest, longest int, log Sensitivity) Element {
	return Element{Tag: tag, Name: name, Kernel: Book, Source: from, Min: shortest, Max: longest, Step: 1, Log: log}
}

func icc(tag tlv.Tag, name string, shortest, longest int) Element {
	return book(FromCard, tag, name, shortest, longest, Open)
}

// holder is what belongs to the cardholder: it is never shown whole.
func holder(tag tlv.Tag, name string, shortest, longest int) Element {
	return book(FromCard, tag, name, shortest, longest, Sealed)
}

func host(tag tlv.Tag, name string, shortest, longest int) Element {
	return book(FromIssuer, tag, name, shortest, longest, Open)
}

func acceptor(tag tlv.Tag, name string, shortest, longest int) Element {
	return book(FromTerminal, tag, name, shortest, longest, Open)
}

func bookTemplate(tag tlv.Tag, name string) Element {
	e := template(tag, name)
	e.Kernel = Book
	return e
}

// bookRows name and explain. An ICC certificate (9F46, 9F2D) is hidden because the
// account number can be recovered from it with public keys.
var bookRows = []Element{
	// Templates.
	bookTemplate(0x61, "Application Template"),
	bookTemplate(0x6F, "File Control Information (FCI) Template"),
	bookTemplate(0x70, "EMV Data Template"),
	bookTemplate(0x71, "Issuer Script Template 1"),
	bookTemplate(0x72, "Issuer Script Template 2"),
	bookTemplate(0x73, "Directory Discretionary Template"),
	bookTemplate(0x77, "Response Message Template Format 2"),
	bookTemplate(0xA5, "File Control Information (FCI) Proprietary Template"),
	bookTemplate(0xBF0C, "File Control Information (FCI) Issuer Discretionary Data"),
	bookTemplate(0xE1, "Application Related Data"),
	bookTemplate(0x7F60, "Biometric Information Template"),
	icc(0x80, "Response Message Template Format 1", 0, anyLength),
	acceptor(0x83, "Command Template", 0, anyLength),
	// Selection.
	icc(0x42, "Issuer Identification Number (IIN)", 3, 3).number().in(0xBF0C),
	icc(0x4F, "Application Dedicated File (ADF) Name", 5, 16).in(0x61).as(formAID),
	icc(0x50, "Application Label", 1, 16).text().in(0xA5),
	icc(0x84, "Dedicated File (DF) Name", 5, 16).in(0x6F).as(formAID),
	icc(0x87, "Application Priority Indicator", 1, 1).in(0xA5).as(formPriority),
	icc(0x88, "Short File Identifier (SFI)", 1, 1).in(0xA5),
	icc(0x9D, "Directory Definition File (DDF) Name", 5, 16).in(0x61),
	icc(0x5F2D, "Language Preference", 2, 8).text().by(2).in(0xA5).as(formLanguages),
	icc(0x5F50, "Issuer URL", 0, 255).text().in(0xBF0C),
	holder(0x5F53, "International Bank Account Number (IBAN)", 0, 34).in(0xBF0C),
	icc(0x5F54, "Bank Identifier Code (BIC)", 8, 11).text().in(0xBF0C),
	icc(0x5F55, "Issuer Country Code (alpha2 format)", 2, 2).text().in(0xBF0C),
	icc(0x5F56, "Issuer Country Code (alpha3 format)", 3, 3).text().in(0xBF0C),
	icc(0x9F0A, "Application Selection Registered Proprietary Data (ASRPD)", 0, 255).in(0xBF0C),
	icc(0x9F11, "Issuer Code Table Index", 1, 1).number().in(0xA5),
	icc(0x9F12, "Application Preferred Name", 1, 16).text().in(0xA5),
	icc(0x9F29, "Extended Selection", 0, 16).in(0x61),
	icc(0x9F2A, "Kernel Identifier", 1, 8).in(0x61).as(formKernelID),
	icc(0x9F38, "Processing Options Data Object List (PDOL)", 0, 252).in(0xA5).as(formDOL),
	icc(0x9F4D, "Log Entry", 2, 2).in(0xBF0C),
	icc(0x9F5A, "Application Program Identifier", 1, 16).in(0xBF0C),
	// The terminal.
	acceptor(0x81, "Amount, Authorised (Binary)", 4, 4),
	acceptor(0x8B, "POI Information", 0, 64),
	acceptor(0x95, "Terminal Verification Results (TVR)", 5, 5).as(formTVR),
	acceptor(0x96, "Kernel Identifier - terminal", 1, 8),
	acceptor(0x98, "Transaction Certificate (TC) Hash Value", 20, 20),
	acceptor(0x9A, "Transaction Date", 3, 3).number().as(formDate),
	acceptor(0x9B, "Transaction Status Information (TSI)", 2, 2).as(formTSI),
	acceptor(0x9C, "Transaction Type", 1, 1).number().as(formType),
	acceptor(0x5F2A, "Transaction Currency Code", 2, 2).number().as(formCurrency),
	acceptor(0x5F36, "Transaction Currency Exponent", 1, 1).number(),
	acceptor(0x5F57, "Account Type", 1, 1).number(),
	acceptor(0x9F01, "Acquirer Identifier", 6, 6).number(),
	acceptor(0x9F02, "Amount, Authorised (Numeric)", 6, 6).number().as(formAmount),
	acceptor(0x9F03, "Amount, Other (Numeric)", 6, 6).number().as(formAmount),
	acceptor(0x9F04, "Amount, Other (Binary)", 4, 4),
	acceptor(0x9F06, "Application Identifier (AID) - terminal", 5, 16).as(formAID),
	acceptor(0x9F09, "Application Version Number - terminal", 2, 2),
	acceptor(0x9F15, "Merchant Category Code (MCC)", 2, 2).number(),
	acceptor(0x9F16, "Merchant Identifier", 15, 15).text(),
	acceptor(0x9F1A, "Terminal Country Code", 2, 2).number().as(formCountry),
	acceptor(0x9F1B, "Terminal Floor Limit", 4, 4),
	acceptor(0x9F1C, "Terminal Identification", 8, 8).text(),
	acceptor(0x9F1D, "Terminal Risk Management Data", 1, 8),
	acceptor(0x9F1E, "Interface Device (IFD) Serial Number", 8, 8).text(),
	acceptor(0x9F21, "Transaction Time", 3, 3).number().as(formTime),
	acceptor(0x9F22, "Certification Authority Public Key Index - terminal", 1, 1),
	acceptor(0x9F33, "Terminal Capabilities", 3, 3).as(formCapabilities),
	acceptor(0x9F34, "Cardholder Verification Method (CVM) Results", 3, 3).as(formCVMResults),
	acceptor(0x9F35, "Terminal Type", 1, 1).number().as(formTerminalType),
	acceptor(0x9F37, "Unpredictable Number", 4, 4),
	acceptor(0x9F39, "Point-of-Service (POS) Entry Mode", 1, 1).number(),
	acceptor(0x9F3A, "Amount, Reference Currency", 4, 4),
	acceptor(0x9F3C, "Transaction Reference Currency Code", 2, 2).number().as(formCurrency),
	acceptor(0x9F3D, "Transaction Reference Currency Exponent", 1, 1).number(),
	acceptor(0x9F3E, "Terminal Categories Supported List", 0, 64),
	acceptor(0x9F40, "Additional Terminal Capabilities", 5, 5).as(formMoreCapabilities),
	acceptor(0x9F41, "Transaction Sequence Counter", 2, 4).number(),
	acceptor(0x9F4E, "Merchant Name and Location", 0, 255).text(),
	acceptor(0x9F53, "Transaction Category Code", 1, 1).text(),
	acceptor(0x9F66, "Terminal Transaction Qualifiers (TTQ)", 4, 4).as(formTTQ),
	acceptor(0x9F7E, "Mobile Support Indicator", 1, 1),
	acceptor(0x99, "Transaction Personal Identification Number (PIN) Data", 0, anyLength).sealed(),
	// The application.
	icc(0x82, "Application Interchange Profile (AIP)", 2, 2).in(0x77).as(formAIP),
	icc(0x94, "Application File Locator (AFL)", 4, 252).by(4).in(0x77).as(formAFL),
	holder(0x57, "Track 2 Equivalent Data", 0, 19).as(formTrack),
	holder(0x56, "Track 1 Data", 0, 76),
	holder(0x9F6B, "Track 2 Data", 0, 19).as(formTrack),
	holder(0x5A, "Application Primary Account Number (PAN)", 1, 10).compressed().in(0x70).as(formPAN),
	holder(0x5F20, "Cardholder Name", 2, 26).text().in(0x70),
	holder(0x9F0B, "Cardholder Name - Extended", 27, 45).text().in(0x70),
	holder(0x9F1F, "Track 1 Discretionary Data", 0, 54).text(),
	holder(0x9F20, "Track 2 Discretionary Data", 0, 16).compressed(),
	holder(0x9F61, "Cardholder National Identification", 0, 40),
	icc(0x9F24, "Payment Account Reference (PAR)", 29, 29).text().hidden(),
	holder(0x9F46, "Integrated Circuit Card (ICC) Public Key Certificate", 0, 248).in(0x70),
	holder(0x9F2D, "Integrated Circuit Card (ICC) PIN Encipherment or Key Encryption Public Key Certificate", 0, 248),
	icc(0x9F50, "Offline Accumulator Balance", 6, 6).number().hidden(),
	icc(0x9F5D, "Available Offline Spending Amount (AOSA)", 1, 6).hidden(),
	icc(0x9F7C, "Customer Exclusive Data (CED)", 0, 255).hidden(),
	icc(0x9F7F, "Card Production Life Cycle (CPLC) History File Identifiers", 0, 255).hidden(),
	icc(0x5F24, "Application Expiration Date", 3, 3).number().in(0x70).as(formDate),
	icc(0x5F25, "Application Effective Date", 3, 3).number().in(0x70).as(formDate),
	icc(0x5F28, "Issuer Country Code", 2, 2).number().in(0x70).as(formCountry),
	icc(0x5F30, "Service Code", 2, 2).number().in(0x70),
	icc(0x5F34, "Application Primary Account Number (PAN) Sequence Number", 1, 1).number().in(0x70),
	icc(0x8C, "Card Risk Management Data Object List 1 (CDOL1)", 0, 252).in(0x70).as(formDOL),
	icc(0x8D, "Card Risk Management Data Object List 2 (CDOL2)", 0, 252).in(0x70).as(formDOL),
	icc(0x8E, "Cardholder Verification Method (CVM) List", 10, 252).in(0x70).as(formCVMList),
	icc(0x8F, "Certification Authority Public Key Index", 1, 1).in(0x70),
	icc(0x90, "Issuer Public Key Certificate", 0, 248).in(0x70),
	icc(0x92, "Issuer Public Key Remainder", 0, 248).in(0x70),
	icc(0x93, "Signed Static Application Data (SSAD)", 0, 248).in(0x70),
	icc(0x97, "Transaction Certificate Data Object List (TDOL)", 0, 252).in(0x70).as(formDOL),
	icc(0x9F05, "Application Discretionary Data", 1, 32).masked(),
	icc(0x9F07, "Application Usage Control (AUC)", 2, 2).in(0x70).as(formUsage),
	icc(0x9F08, "Application Version Number - card", 2, 2).in(0x70),
	icc(0x9F0D, "Issuer Action Code (IAC) - Default", 5, 5).in(0x70).as(formTVR),
	icc(0x9F0E, "Issuer Action Code (IAC) - Denial", 5, 5).in(0x70).as(formTVR),
	icc(0x9F0F, "Issuer Action Code (IAC) - Online", 5, 5).in(0x70).as(formTVR),
	icc(0x9F13, "Last Online Application Transaction Counter (ATC) Register", 2, 2).as(formCount),
	icc(0x9F14, "Lower Consecutive Offline Limit", 1, 1).in(0x70),
	icc(0x9F17, "Personal Identification Number (PIN) Try Counter", 1, 1),
	icc(0x9F18, "Issuer Script Identifier", 4, 4),
	icc(0x9F19, "Token Requestor ID", 6, 6).number(),
	icc(0x9F23, "Upper Consecutive Offline Limit", 1, 1).in(0x70),
	icc(0x9F25, "Last 4 Digits of PAN", 2, 2).number(),
	icc(0x9F2E, "Integrated Circuit Card (ICC) PIN Encipherment or Key Encryption Public Key Exponent", 1, 3),
	icc(0x9F2F, "Integrated Circuit Card (ICC) PIN Encipherment or Key Encryption Public Key Remainder", 0, 248),
	icc(0x9F32, "Issuer Public Key Exponent", 1, 3).in(0x70),
	icc(0x9F3B, "Application Reference Currency", 2, 8).number().by(2).as(formCurrencies),
	icc(0x9F42, "Application Currency Code", 2, 2).number().in(0x70).as(formCurrency),
	icc(0x9F43, "Application Reference Currency Exponent", 1, 4),
	icc(0x9F44, "Application Currency Exponent", 1, 1).number(),
	icc(0x9F45, "Data Authentication Code", 2, 2),
	icc(0x9F47, "Integrated Circuit Card (ICC) Public Key Exponent", 1, 3).in(0x70),
	icc(0x9F48, "Integrated Circuit Card (ICC) Public Key Remainder", 0, 248).in(0x70),
	icc(0x9F49, "Dynamic Data Authentication Data Object List (DDOL)", 0, 252).in(0x70).as(formDOL),
	icc(0x9F4A, "Static Data Authentication (SDA) Tag List", 0, 252).in(0x70),
	icc(0x9F4F, "Log Format", 0, 252).as(formDOL),
	icc(0x9F62, "PCVC3 (Track 1)", 6, 6),
	icc(0x9F63, "PUNATC (Track 1)", 6, 6),
	icc(0x9F64, "NATC (Track 1)", 1, 1),
	icc(0x9F65, "PCVC3 (Track 2)", 2, 2),
	icc(0x9F67, "NATC (Track 2)", 1, 1),
	icc(0x9F68, "Card Additional Processes", 4, 4),
	icc(0x9F69, "Card Authentication Related Data", 0, 16),
	icc(0x9F6C, "Card Transaction Qualifiers (CTQ)", 2, 2).as(formCTQ),
	icc(0x9F6E, "Form Factor Indicator or Third Party Data", 4, 32),
	// The cryptogram.
	icc(0x9F10, "Issuer Application Data (IAD)", 0, 32).as(formIAD),
	icc(0x9F26, "Application Cryptogram", 8, 8).in(0x77),
	icc(0x9F27, "Cryptogram Information Data", 1, 1).in(0x77).as(formCID),
	icc(0x9F36, "Application Transaction Counter (ATC)", 2, 2).as(formCount),
	icc(0x9F4B, "Signed Dynamic Application Data (SDAD)", 0, 248).in(0x77),
	icc(0x9F4C, "ICC Dynamic Number", 2, 8),
	icc(0x9F60, "CVC3 (Track 1)", 2, 2).hidden(),
	// The issuer.
	host(0x86, "Issuer Script Command", 4, 261).masked().as(formScript),
	host(0x89, "Authorisation Code", 6, 6).text(),
	host(0x8A, "Authorisation Response Code", 2, 2).text(),
	host(0x91, "Issuer Authentication Data", 8, 16),
}

func (e Element) sealed() Element { e.Log = Sealed; return e }
func (e Element) hidden() Element { e.Log = Never; return e }
func (e Element) masked() Element { e.Log = Masked; return e }
