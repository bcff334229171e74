package backend

import (
	"bytes"
	"errors"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// Tags of the evidence record (scheme 9.1) and of what lies inside it.
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

	tagDeviceID tlv.Tag = 0xDF8B01
	tagCDOL1    tlv.Tag = 0x8C
	tagTemplate tlv.Tag = 0x77
	tagCID      tlv.Tag = 0x9F27
	tagATC      tlv.Tag = 0x9F36
	tagIAD      tlv.Tag = 0x9F10
	tagAC       tlv.Tag = 0x9F26
	tagEvidence tlv.Tag = 0x9F4B
	tagState    tlv.Tag = 0xDF8B10

	tagAmount      tlv.Tag = 0x9F02
	tagCurrency    tlv.Tag = 0x5F2A
	tagCountry     tlv.Tag = 0x9F1A
	tagType        tlv.Tag = 0x9C
	tagUN          tlv.Tag = 0x9F37
	tagRequest     tlv.Tag = 0xDF8B26
	tagDate        tlv.Tag = 0x9A
	tagTime        tlv.Tag = 0x9F21
	tagTerminalID  tlv.Tag = 0x9F1C
	tagMerchant    tlv.Tag = 0xDF8B21
	tagTransaction tlv.Tag = 0xDF8B22
)

// recordParts are the objects of a record in their order; only the grant may be absent.
var recordParts = [...]tlv.Tag{tagVersion, tagKind, tagReason, tagAID, tagADF, tagPDOL, tagQualifier, tagAIP, tagPDOLData,
	tagCDOL1Data, tagSigned, tagIssuerCert, tagDeviceCert, tagGrant, tagAnswer, tagTVR, tagTSI, tagCVMResults}

// element is a DOL request that must be there with this length (scheme 0.1 rule 9).
type element struct {
	tag    tlv.Tag
	length int
}

// doubled are the elements that stand in both data (9.4 step 5), once those of the CDOL1 alone.
var (
	doubled = [...]element{{tagAmount, 6}, {tagCurrency, 2}, {tagCountry, 2}, {tagType, 1}, {tagUN, 4}, {tagRequest, 2}}
	once    = [...]element{{tagDate, 3}, {tagTime, 3}, {tagTerminalID, 8}, {tagMerchant, 8}, {tagTransaction, 16}, {tagAID, 16}}
)

// evidence is a record taken apart: 9.4 step 1.
type evidence struct {
	part    map[tlv.Tag][]byte
	pdol    map[tlv.Tag][]byte // of doubled
	cdol1   map[tlv.Tag][]byte // of doubled and once
	device  *[8]byte           // DF8B01, nil when the signed records have none
	objects []tlv.Node         // inside 77
	answer  map[tlv.Tag][]byte
}

var errRecord = errors.New("not an evidence record")

// parseRecord takes a record apart and refuses one that a terminal would not write.
func parseRecord(record []byte) (*evidence, error) {
	outer, err := tlv.ParseFlat(record)
	if err != nil || len(outer) != 1 || outer[0].Tag != tagRecord {
		return nil, errRecord
	}
	nodes, err := tlv.ParseFlat(outer[0].Value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	e := &evidence{part: map[tlv.Tag][]byte{}}
	for _, want := range recordParts {
		switch {
		case len(nodes) > 0 && nodes[0].Tag == want:
			e.part[want], nodes = nodes[0].Value, nodes[1:]
		case want != tagGrant:
			return nil, fmt.Errorf("%w: %v is missing", errRecord, want)
		}
	}
	if len(nodes) > 0 {
		return nil, fmt.Errorf("%w: %v is too many", errRecord, nodes[0].Tag)
	}
	version, kind := e.part[tagVersion], e.part[tagKind]
	if len(version) != 1 || version[0] != 1 || len(kind) != 1 || len(e.part[tagReason]) != 1 || len(e.part[tagAIP]) != 2 {
		return nil, fmt.Errorf("%w: version or lengths", errRecord)
	}
	if n := len(e.part[tagAID]); n < 5 || n > 16 {
		return nil, fmt.Errorf("%w: AID of %d bytes", errRecord, n)
	}
	if err := e.readLists(); err != nil {
		return nil, err
	}
	return e, e.readAnswer()
}

// readLists finds the terminal's data in what the phone asked for.
func (e *evidence) readLists() error {
	signed, err := tlv.ParseInside(e.part[tagSigned])
	if err != nil {
		return fmt.Errorf("%w: signed records: %w", errRecord, err)
	}
	var cdol1 []byte
	for _, n := range signed {
		switch {
		case n.Tag == tagCDOL1:
			cdol1 = n.Value
		case n.Tag == tagDeviceID && len(n.Value) == 8:
			id := [8]byte(n.Value)
			e.device = &id
		}
	}
	if e.pdol, err = readDOL(e.part[tagPDOL], e.part[tagPDOLData], doubled[:]); err != nil {
		return err
	}
	e.cdol1, err = readDOL(cdol1, e.part[tagCDOL1Data], append(doubled[:], once[:]...))
	return err
}

func readDOL(dol, data []byte, wanted []element) (map[tlv.Tag][]byte, error) {
	list, err := tlv.ParseDOL(dol)
	if err != nil || list.Size() != len(data) {
		return nil, fmt.Errorf("%w: data does not fit its list", errRecord)
	}
	found := map[tlv.Tag][]byte{}
	for _, w := range wanted {
		value, ok := list.Find(data, w.tag, w.length)
		if !ok {
			return nil, fmt.Errorf("%w: %v was not asked for", errRecord, w.tag)
		}
		found[w.tag] = value
	}
	return found, nil
}

// readAnswer takes the GENERATE AC answer apart (scheme 4.2, 4.4).
func (e *evidence) readAnswer() error {
	answer, err := tlv.ParseOne(e.part[tagAnswer])
	if err != nil || answer.Tag != tagTemplate {
		return fmt.Errorf("%w: GENERATE AC answer", errRecord)
	}
	e.objects, e.answer = answer.Kids, map[tlv.Tag][]byte{}
	for _, n := range answer.Kids {
		if e.answer[n.Tag] != nil && knownAnswer(n.Tag) {
			return fmt.Errorf("%w: %v twice", errRecord, n.Tag)
		}
		e.answer[n.Tag] = n.Value
	}
	for _, w := range [...]element{{tagCID, 1}, {tagATC, 2}, {tagIAD, 18}, {tagAC, 8}} {
		if len(e.answer[w.tag]) != w.length {
			return fmt.Errorf("%w: %v", errRecord, w.tag)
		}
	}
	return nil
}

func knownAnswer(t tlv.Tag) bool {
	switch t {
	case tagCID, tagATC, tagIAD, tagAC, tagEvidence, tagState:
		return true
	}
	return false
}

func (e *evidence) kind() byte  { return e.part[tagKind][0] }
func (e *evidence) cid() byte   { return e.answer[tagCID][0] }
func (e *evidence) atc() uint16 { return uint16(e.answer[tagATC][0])<<8 | uint16(e.answer[tagATC][1]) }

// sameTap says whether the phone has signed the same in both records, however
// the signature itself is written.
func (e *evidence) sameTap(other *evidence) bool {
	return bytes.Equal(e.part[tagCDOL1Data], other.part[tagCDOL1Data]) && bytes.Equal(channel.R1(e.objects), channel.R1(other.objects))
}

// day and minute are the moment of the CDOL1 data; YY is 20YY (scheme 0).
func (e *evidence) day() cert.Date { return cert.Date(append([]byte{0x20}, e.cdol1[tagDate]...)) }

func (e *evidence) minute() cert.Minute {
	day := e.day()
	return cert.Minute(append(day[:], e.cdol1[tagTime][:2]...))
}

// link is what this tap adds to the allowance chain (scheme 7.2).
func (e *evidence) link() channel.Link {
	return channel.Link{Transaction: [16]byte(e.cdol1[tagTransaction]), Amount: [6]byte(e.cdol1[tagAmount]),
		Currency: [2]byte(e.cdol1[tagCurrency]), ATC: e.atc(), TerminalID: [8]byte(e.cdol1[tagTerminalID])}
}

// staticHash recomputes SDH (scheme 2.4); the record's objects have minimal lengths.
func (e *evidence) staticHash() [32]byte {
	object := func(t tlv.Tag) []byte { return tlv.Append(nil, t, e.part[t]) }
	return cert.StaticDataHash(e.part[tagSigned], object(tagAIP), object(tagADF), object(tagPDOL), object(tagQualifier))
}
