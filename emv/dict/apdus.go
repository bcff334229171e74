package dict

import (
	"encoding/binary"
	"fmt"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
)

// instructions of ISO/IEC 7816-4 and the EMV books, besides the scheme's.
const (
	insVerify   = 0x20
	insPIN      = 0x24
	insChecksum = 0x2A
	insGetData  = 0xCA
	insPutData  = 0xDA
)

var instructionNames = map[byte]string{
	apdu.InsSelect: "SELECT", apdu.InsGPO: "GET PROCESSING OPTIONS", apdu.InsERRD: "EXCHANGE RELAY RESISTANCE DATA",
	apdu.InsReadRecord: "READ RECORD", apdu.InsGenerateAC: "GENERATE AC", apdu.InsRecover: "RECOVER",
	apdu.InsGetResponse: "GET RESPONSE", insVerify: "VERIFY", insPIN: "PIN CHANGE/UNBLOCK", insChecksum: "COMPUTE CRYPTOGRAPHIC CHECKSUM",
	insGetData: "GET DATA", insPutData: "PUT DATA", 0x16: "CARD BLOCK", 0x18: "APPLICATION UNBLOCK", 0x1E: "APPLICATION BLOCK",
	0x82: "EXTERNAL AUTHENTICATE", 0x84: "GET CHALLENGE", 0x88: "INTERNAL AUTHENTICATE", 0xDC: "UPDATE RECORD",
}

// command explains a C-APDU.
func (d *decoder) command(b []byte) ([]Item, error) {
	c, err := apdu.ParseCommand(b)
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", min(len(b), 4), err)
	}
	name, ok := instructionNames[c.INS]
	if !ok {
		name = "unknown command"
	}
	items := []Item{{At: 0, Length: 4, Name: name, Value: hexOf(b[:4]), Words: commandWords(c)}}
	if len(c.Data) > 0 {
		data := d.commandData(c)
		data.At, data.Length = 5, len(c.Data)
		items = append(items, data)
	}
	if c.Le > 0 {
		items = append(items, Item{At: len(b) - 1, Length: 1, Name: "Le", Value: hexOf(b[len(b)-1:]), Words: fmt.Sprintf("up to %d bytes wanted", c.Le)})
	}
	return items, nil
}

// commandWords is what CLA, INS, P1 and P2 say.
func commandWords(c apdu.Command) string {
	switch c.INS {
	case apdu.InsSelect:
		how := "by P1 " + fmt.Sprintf("%02X", c.P1)
		if c.P1 == 0x04 {
			how = "by name"
		}
		if c.P2&0x03 == 0x02 {
			return how + ", next occurrence"
		}
		return how + ", first occurrence"
	case apdu.InsReadRecord:
		if c.P2&0x07 == 0x04 {
			return fmt.Sprintf("SFI %d, record %d", c.P2>>3, c.P1)
		}
	case apdu.InsGenerateAC:
		words := cidTypes[c.P1>>6] + " asked"
		if c.P1&0x10 != 0 {
			words += ", with CDA"
		}
		return words
	case insGetData:
		if c.CLA == 0xFF { // PC/SC part 3: the reader answers, not the card
			return map[byte]string{0x00: "UID, answered by the reader", 0x01: "ATS, answered by the reader"}[c.P1]
		}
		tag := tlv.Tag(c.P1)<<8 | tlv.Tag(c.P2)
		for _, k := range []Kernel{Scheme, Book} {
			if row, ok := FindIn(k, tag); ok {
				return tag.String() + " " + row.Name
			}
		}
		return tag.String()
	}
	return ""
}

// commandData explains the data field where its form is known. What is made for a
// list is explained by Options.List only: a list that is guessed could show a
// value under another's name.
func (d *decoder) commandData(c apdu.Command) Item {
	const at = 5
	switch c.INS {
	case apdu.InsSelect:
		if c.P1 == 0x04 && len(c.Data) <= 16 {
			return Item{Name: "name", Value: hexOf(c.Data), Words: applicationName(c.Data)}
		}
	case apdu.InsERRD:
		if len(c.Data) == 4 {
			return Item{Name: "terminal's entropy", Value: hexOf(c.Data)}
		}
	case apdu.InsRecover:
		if len(c.Data) == 28 {
			b := &builder{at: at}
			b.add("transaction id", c.Data[:16], "")
			b.add("unpredictable number", c.Data[16:20], "")
			b.add("terminal id", c.Data[20:], quoted(c.Data[20:]))
			return Item{Name: "data", Items: b.items}
		}
	case apdu.InsGPO:
		o, n, err := next(c.Data, at)
		if err == nil && o.tag == 0x83 && n == len(c.Data) {
			return d.made(o.value, o.start, "PDOL data")
		}
	case apdu.InsGenerateAC:
		return d.made(c.Data, at, "CDOL data")
	case insVerify, insPIN, insPutData: // a PIN, or what only the issuer may read
		return Item{Name: "data", Masked: true}
	}
	item := d.hidden(c.Data, "")
	item.Name = "data"
	return item
}

// made is data that was made for Options.List.
func (d *decoder) made(v []byte, at int, name string) Item {
	if d.List != nil {
		words, items := d.byList(d.List, v, at, "")
		if items != nil {
			return Item{Name: name, Items: items}
		}
		return Item{Name: name, Masked: true, Words: words}
	}
	item := d.hidden(v, "its list is not given")
	item.Name = name
	if len(v) == 0 {
		item.Words = "empty"
	}
	return item
}

// response explains an R-APDU, by the command that it answers if that is given.
func (d *decoder) response(b []byte) ([]Item, error) {
	r, err := apdu.ParseResponse(b)
	if err != nil {
		return nil, err
	}
	status := d.status(b[len(r.Data):], len(r.Data))
	if len(r.Data) == 0 {
		return []Item{status}, nil
	}
	if item, ok := d.primitive(r.Data); ok {
		return []Item{item, status}, nil
	}
	items, err := d.objects(r.Data, 0)
	if _, more := r.SW.More(); err != nil && more {
		part := d.hidden(r.Data, "")
		part.Name = "part of an answer"
		return []Item{part, status}, nil
	}
	if err != nil {
		return nil, err
	}
	return append(items, status), nil
}

// primitive reads template 80, whose parts have no tags: the command decides.
func (d *decoder) primitive(data []byte) (Item, bool) {
	o, n, err := next(data, 0)
	if err != nil || n != len(data) || o.tag != 0x80 {
		return Item{}, false
	}
	c, err := apdu.ParseCommand(d.Command)
	if err != nil {
		c.INS = 0
	}
	item := Item{Length: len(o.value), Tag: "80", Name: "answer without tags"}
	part := func(tag tlv.Tag, v []byte, at int) {
		row, _ := d.find(tag)
		e := d.element(row, v, at)
		e.Tag = tag.String()
		item.Items = append(item.Items, e)
	}
	v, at := o.value, o.start
	switch {
	case c.INS == apdu.InsERRD && len(v) == 10:
		b := &builder{at: at}
		b.relay(v)
		item.Items = b.items
	case c.INS == apdu.InsGPO && len(v) >= 6:
		part(0x82, v[:2], at)
		part(0x94, v[2:], at+2)
	case c.INS == apdu.InsGenerateAC && len(v) >= 11:
		part(0x9F27, v[:1], at)
		part(0x9F36, v[1:3], at+1)
		part(0x9F26, v[3:11], at+3)
		if len(v) > 11 {
			part(0x9F10, v[11:], at+11)
		}
	default:
		hidden := d.hidden(v, "the command that it answers is not given")
		hidden.Tag, hidden.Name, hidden.At = item.Tag, item.Name, 0
		return hidden, true
	}
	return item, true
}

// status explains a status word.
func (d *decoder) status(v []byte, at int) Item {
	sw := apdu.SW(binary.BigEndian.Uint16(v))
	return Item{At: at, Length: 2, Name: "SW", Value: sw.String(), Words: d.statusWords(sw)}
}

// answerWords are status words of the scheme by the command that they answer (scheme 5.2).
var answerWords = map[byte]map[apdu.SW]string{
	apdu.InsGPO: {
		apdu.CannotTap: "this card cannot be used by tap", apdu.NotSatisfied: "conditions not met for this card",
		apdu.SeePhone: "unlock or confirm on the phone", apdu.NotSupported: "applet too old or not provisioned",
	},
	apdu.InsGenerateAC: {apdu.SeePhone: "not committed, see phone", apdu.NotSatisfied: "not committed"},
	apdu.InsRecover:    {apdu.OK: "the cached answer follows", apdu.ReferenceMissing: "no such transaction here"},
}

var statusTexts = map[apdu.SW]string{
	apdu.OK: "normal", 0x6200: "warning", 0x6281: "data may be corrupted", 0x6282: "end of file reached", 0x6283: "selected file invalidated",
	0x6285: "selected file in termination state", 0x6300: "authentication failed", apdu.WrongLength: "wrong length",
	0x6881: "logical channel not supported", 0x6882: "secure messaging not supported", 0x6981: "command incompatible with file",
	0x6982: "security status not satisfied", 0x6983: "authentication method blocked", apdu.CannotTap: "referenced data invalidated",
	apdu.NotSatisfied: "conditions of use not satisfied", apdu.SeePhone: "command not allowed", 0x6987: "secure messaging objects missing",
	0x6988: "secure messaging objects incorrect", apdu.WrongData: "wrong data", apdu.NotSupported: "function not supported",
	apdu.FileNotFound: "file or application not found", apdu.RecordNotFound: "record not found", 0x6A84: "not enough memory",
	apdu.WrongParameters: "wrong P1 or P2", apdu.ReferenceMissing: "referenced data not found", 0x6B00: "wrong P1 or P2",
	apdu.UnknownCommand: "instruction not supported", 0x6E00: "class not supported", 0x6F00: "no precise diagnosis",
}

func (d *decoder) statusWords(sw apdu.SW) string {
	if c, err := apdu.ParseCommand(d.Command); err == nil && d.Kernel == Scheme {
		if words, ok := answerWords[c.INS][sw]; ok {
			return words
		}
	}
	if words, ok := statusTexts[sw]; ok {
		return words
	}
	if n, ok := sw.More(); ok {
		return fmt.Sprintf("%d more bytes by GET RESPONSE", n)
	}
	if n, ok := sw.WrongLe(); ok {
		return fmt.Sprintf("repeat with Le %d", n)
	}
	if sw&0xFFF0 == 0x63C0 {
		return fmt.Sprintf("%d tries left", sw&0x0F)
	}
	switch sw >> 12 {
	case 0x6:
		return "an error or a warning"
	case 0x9:
		return "the application's own status"
	}
	return "not a status word"
}

// looksLikeStatus reports words that an answer may end with.
func looksLikeStatus(b []byte) bool {
	return b[0]>>4 == 0x6 && b[0] != 0x60 || b[0] == 0x90
}
