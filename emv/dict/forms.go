package dict

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tapkeeper/emv/tlv"
)

// form is how the value of an element is explained.
type form byte

const (
	formNone form = iota
	formAFL
	formAID
	formAIP
	formAmount
	formCDOL1Data
	formCID
	formCTQ
	formCVD
	formCVMList
	formCVMResults
	formCapabilities
	formCardQualifier
	formCertificate
	formCount
	formCountry
	formCurrencies
	formCurrency
	formDOL
	formDate
	formEvidence
	formGrant
	formIAD
	formKernelID
	formKernelQualifier
	formLanguages
	formMoreCapabilities
	formObjects
	formPAN
	formPDOLData
	formPriority
	formReason
	formRecord
	formRecordKind
	formRelayData
	formRestart
	formScript
	formState
	formTSI
	formTTQ
	formTVR
	formTerminalRequest
	formTerminalType
	formTime
	formTrack
	formType
	formUsage
)

// holdsAll reports forms whose parts are the whole value, each under its own
// sensitivity.
func (f form) holdsAll() bool {
	switch f {
	case formObjects, formPDOLData, formCDOL1Data, formCertificate, formGrant, formRecord:
		return true
	}
	return false
}

// explain puts a value into words. A value that may not be shown is explained by
// its parts if they have a sensitivity of their own, and not at all otherwise.
func (d *decoder) explain(row Element, v []byte, at int, show bool) (string, []Item) {
	switch row.form {
	case formPAN:
		return d.account(v), nil
	case formObjects:
		return d.inside(v, at)
	case formPDOLData:
		return d.byList(d.pdol, v, at, "no PDOL before it explains it")
	case formCDOL1Data:
		return d.byList(d.cdol1, v, at, "no CDOL1 before it explains it")
	case formCertificate, formGrant:
		if items, err := d.layout(v, at); err == nil {
			return "", items
		}
		return "", nil
	case formTrack:
		return "account number, expiry and more", nil
	}
	if !show {
		return "", nil
	}
	d.remember(row.Tag, v)
	if words, ok := flagTables[flagKey{row.form, row.Kernel}]; ok {
		return d.flags(words, v, at)
	}
	switch row.form {
	case formDOL:
		items, err := d.list(v, at)
		if err != nil {
			return "not a list: " + err.Error(), nil
		}
		return "", items
	case formAFL:
		return d.files(v, at)
	case formCVMList:
		return d.methods(v, at)
	case formIAD:
		return d.issuerData(row, v, at)
	case formCardQualifier, formKernelQualifier, formRelayData, formState, formEvidence, formTerminalRequest:
		return d.parts(row.form, v, at)
	}
	return d.word(row, v), nil
}

// remember keeps the lists that explain data made for them.
func (d *decoder) remember(tag tlv.Tag, v []byte) {
	switch tag {
	case 0x9F38:
		d.pdol = v
	case 0x8C:
		d.cdol1 = v
	}
}

// word explains a value as a whole.
func (d *decoder) word(row Element, v []byte) string {
	switch row.form {
	case formDate:
		return dateWords(row.Kernel, v)
	case formTime:
		return fmt.Sprintf("%02X:%02X:%02X", v[0], v[1], v[2])
	case formAmount:
		n, _ := tlv.Number(v)
		return fmt.Sprintf("%d minor units", n)
	case formCount:
		return fmt.Sprintf("%d", binary.BigEndian.Uint16(v))
	case formCurrency:
		return currencies[code(v)]
	case formCurrencies:
		return wordsOfPairs(v, func(pair []byte) string { return currencies[code(pair)] })
	case formLanguages:
		return wordsOfPairs(v, func(pair []byte) string { return languages[strings.ToLower(string(pair))] })
	case formKernelID:
		return kernelWords(v)
	case formScript:
		return scriptWords(v)
	case formCountry:
		return countries[code(v)]
	case formAID:
		return applicationName(v)
	case formType:
		return typeWords[v[0]]
	case formPriority:
		return priorityWords(v[0])
	case formCVD:
		return orRFU(cvdWords, v[0])
	case formRecordKind:
		return orRFU(recordKinds, v[0])
	case formReason:
		return d.reason(v[0])
	case formRestart:
		return restartWords(v)
	case formTerminalType:
		return terminalTypes[v[0]]
	case formCID:
		return cidWords(row.Kernel, v[0])
	case formCVMResults:
		return cvmResultWords(row.Kernel, v)
	}
	if row.Format == Alphanumeric {
		return quoted(v)
	}
	return ""
}

// reason is the words of a reason of scheme 10.
func (d *decoder) reason(b byte) string {
	if d.Reason == nil {
		return fmt.Sprintf("reason %02X", b)
	}
	return d.Reason(b)
}

// account is what may be said of an account number: its digits by default, the
// first six and last four with Unmask if enough stay hidden (PCI DSS 3.4).
func (d *decoder) account(v []byte) string {
	digits := accountDigits(v)
	switch n := len(digits); {
	case n == 0:
		return "not an account number"
	case d.Unmask && n >= minPAN:
		return fmt.Sprintf("%s...%s, %d digits", digits[:6], digits[n-4:], n)
	default:
		return fmt.Sprintf("%d digits", n)
	}
}

// inside reads the objects of a value that may hold them; if it does not, the
// value stays masked.
func (d *decoder) inside(v []byte, at int) (string, []Item) {
	if d.depth >= maxNesting || len(v) == 0 {
		return "", nil
	}
	d.depth++
	defer func() { d.depth-- }()
	items, err := d.objects(v, at)
	if err != nil {
		return err.Error(), nil
	}
	return "", items
}

// list reads a data object list.
func (d *decoder) list(v []byte, at int) ([]Item, error) {
	var items []Item
	for from := 0; from < len(v); {
		tag, n := tlv.Tag(v[from]), 1
		if v[from] == 0 || v[from] == 0xFF {
			return nil, fmt.Errorf("byte %d: %02X is no tag", at+from, v[from])
		}
		for more := v[from]&0x1F == 0x1F; more && n < 3 && from+n < len(v); n++ {
			tag, more = tag<<8|tlv.Tag(v[from+n]), v[from+n]&0x80 != 0
		}
		if from+n >= len(v) {
			return nil, fmt.Errorf("byte %d: the length of %v is missing", at+from+n, tag)
		}
		if v[from+n] > 0x7F {
			return nil, fmt.Errorf("byte %d: %02X is no length in a list", at+from+n, v[from+n])
		}
		row, known := d.find(tag)
		name := row.Name
		if !known {
			name = "unknown"
		}
		items = append(items, Item{At: at + from, Length: int(v[from+n]), Tag: tag.String(), Name: name})
		from += n + 1
	}
	return items, nil
}

// byList explains data that was made for a list. Each part is under its own
// sensitivity; data that does not fit the list stays masked whole.
func (d *decoder) byList(list, v []byte, at int, without string) (string, []Item) {
	if list == nil {
		return without, nil
	}
	entries, err := tlv.ParseDOL(list)
	if err != nil || entries.Size() != len(v) || len(entries) > d.budget {
		return "does not fit its list", nil
	}
	d.budget -= len(entries)
	var items []Item
	from := 0
	for _, e := range entries {
		part := v[from : from+e.Length]
		var item Item
		if row, known := d.find(e.Tag); known {
			item = d.element(row, part, at+from)
		} else {
			item = d.hidden(part, "")
			item.Name = "unknown"
		}
		item.At, item.Tag = at+from, e.Tag.String()
		items = append(items, item)
		from += e.Length
	}
	return "", items
}
