package dict

import (
	"fmt"
	"strings"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
)

// Trace turns the APDUs of one tap into lines that may be logged. It fails
// closed: an encrypted record, an unknown object, a value whose length is not the
// table's, and whatever cannot be parsed appear as a length only (scheme 4.2).
// The zero Trace is ready to use.
type Trace struct {
	ins   byte    // of the command that the answer belongs to
	pdol  tlv.DOL // of the application last selected
	chain []byte  // answer data before a GET RESPONSE
}

// maxChain bounds what Trace keeps of a chained answer (scheme 5.1).
const maxChain = 1024

// Command describes a C-APDU.
func (t *Trace) Command(capdu []byte) []string {
	c, err := apdu.ParseCommand(capdu)
	if err != nil {
		t.ins, t.chain = 0, nil
		return []string{"> " + hide("command", len(capdu))}
	}
	if c.INS != apdu.InsGetResponse {
		t.ins, t.chain = c.INS, nil
	}
	head := fmt.Sprintf("> %02X%02X%02X%02X %s", c.CLA, c.INS, c.P1, c.P2, commandName(c))
	switch {
	case c.INS == apdu.InsSelect && len(c.Data) <= 16:
		return []string{fmt.Sprintf("%s %X", head, c.Data)}
	case c.INS == apdu.InsERRD && len(c.Data) == 4, c.INS == apdu.InsRecover && len(c.Data) == 28:
		return []string{fmt.Sprintf("%s %X", head, c.Data)}
	case c.INS == apdu.InsGPO:
		return append([]string{head}, t.pdolData(c.Data)...)
	case len(c.Data) > 0: // GENERATE AC: its list came encrypted
		return []string{head + " " + hide("data", len(c.Data))}
	}
	return []string{head}
}

func commandName(c apdu.Command) string {
	if name, ok := instructionNames[c.INS]; ok {
		return name
	}
	return "unknown"
}

// pdolData describes the data of GET PROCESSING OPTIONS by the PDOL.
func (t *Trace) pdolData(data []byte) []string {
	hidden := []string{"    " + hide("data", len(data))}
	node, err := tlv.ParseOne(data)
	if err != nil || node.Tag != 0x83 || len(node.Value) != t.pdol.Size() {
		return hidden
	}
	var lines []string
	at := 0
	for _, e := range t.pdol {
		row, known := Find(e.Tag)
		known = known && row.Source == FromTerminal && e.Length == row.Max
		lines = append(lines, "    "+describe(e.Tag, node.Value[at:at+e.Length], row, known))
		at += e.Length
	}
	return lines
}

// Response describes the R-APDU to the command described last.
func (t *Trace) Response(rapdu []byte) []string {
	r, err := apdu.ParseResponse(rapdu)
	if err != nil {
		return []string{"< " + hide("answer", len(rapdu))}
	}
	head := "< " + r.SW.String()
	if _, more := r.SW.More(); more && len(t.chain)+len(r.Data) <= maxChain {
		t.chain = append(t.chain, r.Data...)
		return []string{head + part(len(r.Data))}
	}
	data := append(t.chain, r.Data...)
	t.chain = nil
	if len(data) == 0 {
		return []string{head}
	}
	return append([]string{head}, t.answer(data)...)
}

func part(n int) string {
	if n == 0 {
		return ""
	}
	return " " + hide("part", n)
}

func (t *Trace) answer(data []byte) []string {
	hidden := []string{"    " + hide("data", len(data))}
	switch t.ins {
	case apdu.InsERRD:
		if len(data) == 12 && data[0] == 0x80 && data[1] == 0x0A {
			return []string{fmt.Sprintf("    80 Relay answer %X", data[2:])}
		}
		return hidden
	case apdu.InsSelect, apdu.InsGPO, apdu.InsReadRecord, apdu.InsGenerateAC, apdu.InsRecover:
	default:
		return hidden
	}
	root, err := tlv.ParseOne(data)
	if err != nil || !tlv.Template(root.Tag) { // DA among them
		return hidden
	}
	var lines []string
	tlv.Walk([]tlv.Node{root}, func(n tlv.Node, depth int) bool {
		lines = append(lines, strings.Repeat("  ", depth+2)+t.object(n))
		return true
	})
	return lines
}

// object describes one object of an answer.
func (t *Trace) object(n tlv.Node) string {
	row, known := Find(n.Tag)
	if tlv.Template(n.Tag) {
		return fmt.Sprintf("%v %s", n.Tag, row.Name)
	}
	if known && row.Source == FromDirectory && t.ins == apdu.InsSelect {
		return describe(n.Tag, n.Value, row, true)
	}
	if n.Tag == 0x9F38 && t.ins == apdu.InsSelect {
		t.pdol, _ = tlv.ParseDOL(n.Value)
	}
	row, known = FromPhone(n.Tag)
	return describe(n.Tag, n.Value, row, known)
}

// describe is one value under its sensitivity.
func describe(tag tlv.Tag, value []byte, row Element, known bool) string {
	switch {
	case Forbidden(tag):
		return fmt.Sprintf("%v forbidden, %s", tag, hide("value", len(value)))
	case !known:
		return fmt.Sprintf("%v unknown, %s", tag, hide("value", len(value)))
	case row.Log == Open && row.Fits(value):
		return fmt.Sprintf("%v %s %X", tag, row.Name, value)
	case row.Log == Masked && row.Fits(value) && len(value) > 2:
		return fmt.Sprintf("%v %s %X..(%d)", tag, row.Name, value[:2], len(value))
	}
	return fmt.Sprintf("%v %s, %s", tag, row.Name, hide("value", len(value)))
}

func hide(what string, n int) string { return fmt.Sprintf("%s of %d bytes masked", what, n) }
