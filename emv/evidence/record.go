package evidence

import (
	"bytes"
	"errors"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// maxRecord is far above any record (about 1.5 KiB); a file can hold anything.
const maxRecord = 16 << 10

// Tags of a record and of what lies inside it (scheme 9.1, 4.1, 4.2).
const (
	tagRecord     tlv.Tag = 0xBF8B01
	tagVersion    tlv.Tag = 0xDF8B30
	tagKind       tlv.Tag = 0xDF8B31
	tagReason     tlv.Tag = 0xDF8B37
	tagAID        tlv.Tag = 0x9F06
	tagADF        tlv.Tag = 0x84
	tagPDOL       tlv.Tag = 0x9F38
	tagQualifier  tlv.Tag = 0x9F2C
	tagAIP        tlv.Tag = 0x82
	tagPDOLData   tlv.Tag = 0xDF8B32
	tagCDOL1Data  tlv.Tag = 0xDF8B33
	tagSigned     tlv.Tag = 0xDF8B36
	tagIssuerCert tlv.Tag = 0x90
	tagDeviceCert tlv.Tag = 0x9F46
	tagGrant      tlv.Tag = 0xDF8B11
	tagAnswer     tlv.Tag = 0xDF8B34
	tagTVR        tlv.Tag = 0x95
	tagTSI        tlv.Tag = 0x9B
	tagCVMResults tlv.Tag = 0x9F34
	tagTemplate   tlv.Tag = 0x77
	tagDeviceID   tlv.Tag = 0xDF8B01
	tagCDOL1      tlv.Tag = 0x8C
	tagCID        tlv.Tag = 0x9F27
	tagATC        tlv.Tag = 0x9F36
	tagCVD        tlv.Tag = 0x9F8102
	tagIAD        tlv.Tag = 0x9F10
	tagAC         tlv.Tag = 0x9F26
	tagState      tlv.Tag = 0xDF8B10
	tagEvidence   tlv.Tag = 0x9F4B
	tagAmount     tlv.Tag = 0x9F02
	tagCurrency   tlv.Tag = 0x5F2A
	tagCountry    tlv.Tag = 0x9F1A
	tagType       tlv.Tag = 0x9C
	tagUN         tlv.Tag = 0x9F37
	tagRequest    tlv.Tag = 0xDF8B26
	tagDate       tlv.Tag = 0x9A
	tagTime       tlv.Tag = 0x9F21
	tagTerminal   tlv.Tag = 0x9F1C
	tagMerchant   tlv.Tag = 0xDF8B21
	tagPayment    tlv.Tag = 0xDF8B22
	tagRelay      tlv.Tag = 0xDF8B23
)

// part is an object of a record; size 0 is any length.
type part struct {
	tag  tlv.Tag
	size int
}

// parts are the objects in their order; only the grant may be absent.
var parts = [...]part{
	{tagVersion, 1}, {tagKind, 1}, {tagReason, 1}, {tagAID, 0}, {tagADF, 0}, {tagPDOL, 0}, {tagQualifier, 0}, {tagAIP, 2},
	{tagPDOLData, 0}, {tagCDOL1Data, 0}, {tagSigned, 0}, {tagIssuerCert, 0}, {tagDeviceCert, 0}, {tagGrant, 0}, {tagAnswer, 0},
	{tagTVR, 5}, {tagTSI, 2}, {tagCVMResults, 3},
}

// twice stand in the PDOL data and in the CDOL1 data (scheme 9.4 step 5), once in the latter alone.
var (
	twice = []part{{tagAmount, 6}, {tagCurrency, 2}, {tagCountry, 2}, {tagType, 1}, {tagUN, 4}, {tagRequest, 2}}
	once  = []part{{tagDate, 3}, {tagTime, 3}, {tagTVR, 5}, {tagTerminal, 8}, {tagMerchant, 8}, {tagPayment, 16}, {tagRelay, 14}, {tagAID, 16}}
)

// record is a record taken apart.
type record struct {
	part    map[tlv.Tag][]byte
	pdol    map[tlv.Tag][]byte
	cdol1   map[tlv.Tag][]byte
	static  map[tlv.Tag][]byte // objects of the signed records
	objects []tlv.Node         // inside 77, in their order
	answer  map[tlv.Tag][]byte
}

// parse is scheme 9.4 step 1, and what later checks need to be there.
func parse(raw []byte) (*record, error) {
	if len(raw) > maxRecord {
		return nil, errors.New("longer than any record")
	}
	outer, err := tlv.ParseFlat(raw)
	if err != nil || len(outer) != 1 || outer[0].Tag != tagRecord {
		return nil, errors.New("not one BF8B01 object")
	}
	nodes, err := tlv.ParseFlat(outer[0].Value)
	if err != nil {
		return nil, fmt.Errorf("BF8B01: %w", err)
	}
	e := &record{part: map[tlv.Tag][]byte{}, static: map[tlv.Tag][]byte{}, answer: map[tlv.Tag][]byte{}}
	again := []byte(nil)
	for _, p := range parts {
		switch {
		case len(nodes) > 0 && nodes[0].Tag == p.tag:
			if n := len(nodes[0].Value); p.size != 0 && n != p.size {
				return nil, fmt.Errorf("%v: %d bytes, want %d", p.tag, n, p.size)
			}
			e.part[p.tag] = nodes[0].Value
			again = tlv.Append(again, p.tag, nodes[0].Value)
			nodes = nodes[1:]
		case p.tag != tagGrant:
			return nil, fmt.Errorf("%v is missing or out of order", p.tag)
		}
	}
	switch {
	case len(nodes) > 0:
		return nil, fmt.Errorf("%v is too many", nodes[0].Tag)
	case !bytes.Equal(tlv.Append(nil, tagRecord, again), raw): // one record has one spelling
		return nil, errors.New("a length is not minimal")
	case e.part[tagVersion][0] != 1:
		return nil, errors.New("DF8B30: unknown version")
	}
	if n := len(e.part[tagAID]); n < 5 || n > 16 {
		return nil, fmt.Errorf("9F06: %d bytes", n)
	}
	if err := e.readLists(); err != nil {
		return nil, err
	}
	return e, e.readAnswer()
}

// readLists finds the terminal's data by what the phone had asked for.
func (e *record) readLists() error {
	signed, err := tlv.ParseInside(e.part[tagSigned])
	if err != nil {
		return fmt.Errorf("DF8B36: %w", err)
	}
	tlv.Walk(signed, func(n tlv.Node, _ int) bool {
		if !tlv.Template(n.Tag) && e.static[n.Tag] == nil {
			e.static[n.Tag] = n.Value
		}
		return true
	})
	if e.pdol, err = readList(tagPDOLData, e.part[tagPDOL], e.part[tagPDOLData], twice); err != nil {
		return err
	}
	e.cdol1, err = readList(tagCDOL1Data, e.static[tagCDOL1], e.part[tagCDOL1Data], append(once[:len(once):len(once)], twice...))
	if err == nil && !tlv.IsBCD(bytes.Join([][]byte{e.cdol1[tagAmount], e.cdol1[tagCurrency], e.cdol1[tagDate], e.cdol1[tagTime], e.cdol1[tagType]}, nil)) {
		err = errors.New("DF8B33: a number is not one")
	}
	return err
}

func readList(tag tlv.Tag, dol, data []byte, wanted []part) (map[tlv.Tag][]byte, error) {
	list, err := tlv.ParseDOL(dol)
	if err != nil || list.Size() != len(data) {
		return nil, fmt.Errorf("%v does not fit its list", tag)
	}
	found := map[tlv.Tag][]byte{}
	for _, w := range wanted {
		value, ok := list.Find(data, w.tag, w.size)
		if !ok {
			return nil, fmt.Errorf("%v: the phone did not ask for %v", tag, w.tag)
		}
		found[w.tag] = value
	}
	return found, nil
}

// readAnswer takes the GENERATE AC answer apart (scheme 4.2, 4.4).
func (e *record) readAnswer() error {
	answer, err := tlv.ParseOne(e.part[tagAnswer])
	if err != nil || answer.Tag != tagTemplate {
		return errors.New("DF8B34: not one 77 object")
	}
	e.objects = answer.Kids
	for _, n := range answer.Kids {
		if e.answer[n.Tag] == nil {
			e.answer[n.Tag] = n.Value
		}
	}
	for _, w := range []part{{tagCID, 1}, {tagATC, 2}, {tagIAD, 18}, {tagAC, 8}} {
		if len(e.answer[w.tag]) != w.size {
			return fmt.Errorf("DF8B34: %v is missing or has another length", w.tag)
		}
	}
	return nil
}

func (e *record) kind() byte   { return e.part[tagKind][0] }
func (e *record) cid() byte    { return e.answer[tagCID][0] }
func (e *record) refund() bool { return e.cdol1[tagType][0] == 0x20 }

// day is the date of the tap; YY is 20YY (scheme 0).
func (e *record) day() cert.Date { return cert.Date(append([]byte{0x20}, e.cdol1[tagDate]...)) }

func (e *record) minute() cert.Minute {
	day := e.day()
	return cert.Minute(append(day[:], e.cdol1[tagTime][:2]...))
}

// request is DF8B26 (scheme 4.1).
func (e *record) request(index int, mask byte) bool { return e.cdol1[tagRequest][index]&mask != 0 }

func (e *record) connected() bool { return e.request(0, 0x20) }

// link is what the tap adds to the allowance chain (scheme 7.2).
func (e *record) link() channel.Link {
	atc := e.answer[tagATC]
	return channel.Link{Transaction: [16]byte(e.cdol1[tagPayment]), Amount: [6]byte(e.cdol1[tagAmount]),
		Currency: [2]byte(e.cdol1[tagCurrency]), ATC: uint16(atc[0])<<8 | uint16(atc[1]), TerminalID: [8]byte(e.cdol1[tagTerminal])}
}

// staticHash recomputes SDH (scheme 2.4); a record's objects have minimal lengths.
func (e *record) staticHash() [32]byte {
	object := func(t tlv.Tag) []byte { return tlv.Append(nil, t, e.part[t]) }
	return cert.StaticDataHash(e.part[tagSigned], object(tagAIP), object(tagADF), object(tagPDOL), object(tagQualifier))
}
