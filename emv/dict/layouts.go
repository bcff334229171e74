package dict

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
)

// deviceCertificateSize tells a device certificate of the scheme from others.
const deviceCertificateSize = 191

// builder makes the items of a value that is cut into fields one after the other.
type builder struct {
	at    int
	items []Item
	shut  bool // only what is marked constant is shown
}

func (b *builder) add(name string, value []byte, words string) {
	item := Item{At: b.at, Length: len(value), Name: name, Value: hexOf(value), Words: words}
	if b.shut {
		item.Value, item.Words, item.Masked = "", "", true
	}
	b.items = append(b.items, item)
	b.at += len(value)
}

// constant adds a field that says no more than what kind of thing this is.
func (b *builder) constant(name string, value []byte, words string) {
	shut := b.shut
	b.shut = false
	b.add(name, value, words)
	b.shut = shut
}

// layout reads a certificate or a grant of the scheme, field by field. Those that
// scheme 4.2 never logs show no field but their format unless unmasked.
func (d *decoder) layout(v []byte, at int) ([]Item, error) {
	if len(v) == 0 {
		return nil, errors.New("no bytes")
	}
	b := &builder{at: at}
	switch v[0] {
	case 0xA2:
		c, err := cert.ParseIssuer(v)
		if err != nil {
			return nil, err
		}
		b.issuer(c, v)
	case 0xA4:
		c, err := cert.ParseDevice(v)
		if err != nil {
			return nil, err
		}
		b.shut = !d.Unmask
		b.device(c, v)
	case 0xA6:
		g, err := cert.ParseGrant(v)
		if err != nil {
			return nil, err
		}
		b.shut = !d.Unmask
		b.grant(g, v)
	default:
		return nil, fmt.Errorf("byte %d: %02X is no format of the scheme, want A2, A4 or A6", at, v[0])
	}
	return b.items, nil
}

func (b *builder) issuer(c cert.Issuer, v []byte) { // scheme 2.1
	b.constant("format", v[:1], "issuer certificate")
	b.constant("suite", v[1:2], suiteWords)
	b.add("RID", c.RID[:], "")
	b.add("CA key index", []byte{c.Index}, "")
	b.add("operator id", c.Operator[:], "")
	b.add("not before", c.NotBefore[:], longDate(c.NotBefore[:]))
	b.add("not after", c.NotAfter[:], longDate(c.NotAfter[:]))
	b.add("serial", binary.BigEndian.AppendUint32(nil, c.Serial), "")
	b.add("usage", []byte{c.Usage}, flagWords(certificateUsage, []byte{c.Usage}))
	b.add("issuer's key", c.Key[:], "compressed point")
	b.add("signature", v[b.length(v):], "by the CA over all before it")
}

func (b *builder) device(c cert.Device, v []byte) { // scheme 2.2
	b.constant("format", v[:1], "device certificate")
	b.constant("suite", v[1:2], suiteWords)
	b.add("issuer serial", binary.BigEndian.AppendUint32(nil, c.IssuerSerial), "")
	b.add("device id", c.DeviceID[:], "")
	b.add("not before", c.NotBefore[:], longDate(c.NotBefore[:]))
	b.add("not after", c.NotAfter[:], longDate(c.NotAfter[:]))
	b.add("serial", c.Serial[:], "")
	b.add("properties", []byte{c.Properties}, flagWords(deviceProperties, []byte{c.Properties}))
	b.add("static data hash", c.SDH[:], "")
	b.add("signing key", c.SignKey[:], "compressed point")
	b.add("channel key", c.AgreeKey[:], "compressed point")
	b.add("signature", v[b.length(v):], "by the issuer over all before it")
}

func (b *builder) grant(g cert.Grant, v []byte) { // scheme 2.3
	b.constant("format", v[:1], "allowance grant")
	b.constant("suite", v[1:2], suiteWords)
	b.add("issuer serial", binary.BigEndian.AppendUint32(nil, g.IssuerSerial), "")
	b.add("device id", g.DeviceID[:], "")
	b.add("epoch", binary.BigEndian.AppendUint32(nil, g.Epoch), fmt.Sprint(g.Epoch))
	b.add("currency", g.Currency[:], currencies[code(g.Currency[:])])
	b.add("total", g.Total[:], minor(g.Total[:]))
	b.add("per-tap limit", g.PerTap[:], minor(g.PerTap[:]))
	b.add("max taps", binary.BigEndian.AppendUint16(nil, g.MaxTaps), fmt.Sprint(g.MaxTaps))
	b.add("ATC base", binary.BigEndian.AppendUint16(nil, g.ATCBase), fmt.Sprint(g.ATCBase))
	b.add("valid from", g.ValidFrom[:], minuteWords(g.ValidFrom[:]))
	b.add("valid to", g.ValidTo[:], minuteWords(g.ValidTo[:]))
	const signature = 64
	b.add("RFU", v[b.length(v):len(v)-signature], "")
	b.add("signature", v[len(v)-signature:], "by the issuer over all before it")
}

// length is how many bytes of v have become fields.
func (b *builder) length(v []byte) int {
	n := 0
	for _, item := range b.items {
		n += item.Length
	}
	return min(n, len(v))
}

// parts reads values of the scheme with fixed fields.
func (d *decoder) parts(f form, v []byte, at int) (string, []Item) {
	b := &builder{at: at}
	switch f {
	case formCardQualifier: // scheme 3.5
		b.add("version", v[:1], "")
		b.add("channel suite", v[1:2], "")
		b.add("signature suite", v[2:3], "")
		b.add("features", v[3:4], flagWords(cardFeatures, v[3:4]))
		b.add("RFU", v[4:], "")
	case formKernelQualifier: // scheme 4.1
		b.add("version", v[:1], "")
		b.add("features", v[1:2], flagWords(cardFeatures, v[1:2]))
		b.add("channel suite", v[2:3], "")
		b.add("signature suite", v[3:4], "")
		b.add("RFU", v[4:], "")
	case formRelayData: // scheme 4.1, 5.1
		b.add("terminal's entropy", v[:4], "")
		b.relay(v[4:])
	case formState: // scheme 7.2
		s, err := cert.ParseState(v)
		if err != nil {
			return err.Error(), nil
		}
		b.add("epoch", v[:4], fmt.Sprint(s.Epoch))
		b.add("tap index", v[4:6], fmt.Sprint(s.Index))
		b.add("spent", s.Spent[:], minor(s.Spent[:]))
		b.add("remaining", s.Remaining[:], minor(s.Remaining[:]))
		b.add("chain", s.Chain[:], "")
	case formEvidence: // scheme 6.7
		b.add("format", v[:1], map[bool]string{true: "evidence", false: "not A5"}[v[0] == 0xA5])
		b.add("signature", v[1:], "by the device, r and s")
	case formTerminalRequest:
		return d.flags(terminalRequest, v, at)
	}
	return "", b.items
}

// relay adds the answer of ERRD, times in 100 µs (scheme 5.1).
func (b *builder) relay(v []byte) {
	b.add("phone's entropy", v[:4], "")
	for i, name := range []string{"min", "max", "est"} {
		t := v[4+2*i : 6+2*i]
		b.add(name, t, fmt.Sprintf("%d us", 100*int(binary.BigEndian.Uint16(t))))
	}
}

// issuerData reads an IAD. Only the scheme's own layout is known (scheme 4.4).
func (d *decoder) issuerData(row Element, v []byte, at int) (string, []Item) {
	if len(v) != 18 || v[0] != 0xB1 {
		if row.Kernel == Scheme {
			return "format byte is not B1", nil
		}
		return "layout is the issuer's own", nil
	}
	b := &builder{at: at}
	b.add("format", v[:1], "")
	b.add("key version", v[1:2], "")
	b.add("application kind", v[2:3], kindWords[v[2]])
	b.add("flags", v[3:4], flagWords(iadFlags, v[3:4]))
	b.add("phone's reason", v[4:5], d.reason(v[4]))
	b.add("applet build", v[5:10], "")
	b.add("IAD-MAC", v[10:], "")
	return "", b.items
}

// files reads an AFL (EMV book 3 10.2, scheme 4.3).
func (d *decoder) files(v []byte, at int) (string, []Item) {
	var items []Item
	for i := 0; i+4 <= len(v); i += 4 {
		e := v[i : i+4]
		words := fmt.Sprintf("SFI %d, records %d to %d, the first %d signed", e[0]>>3, e[1], e[2], e[3])
		if e[1] == e[2] {
			words = fmt.Sprintf("SFI %d, record %d%s", e[0]>>3, e[1], map[bool]string{true: ", signed", false: ""}[e[3] == 1])
		}
		if !validFile(e) {
			words = join(words, "malformed")
		}
		items = append(items, Item{At: at + i, Length: 4, Name: "entry", Value: hexOf(e), Words: words})
	}
	return "", items
}

func validFile(e []byte) bool {
	sfi := e[0] >> 3
	return e[0]&0x07 == 0 && sfi >= 1 && sfi <= 30 && e[1] >= 1 && e[1] <= e[2] && int(e[3]) <= int(e[2])-int(e[1])+1
}

// methods reads a CVM list (EMV book 3 10.5).
func (d *decoder) methods(v []byte, at int) (string, []Item) {
	if len(v)%2 != 0 {
		return "a rule is cut short", nil
	}
	b := &builder{at: at}
	for i, name := range []string{"amount X", "amount Y"} {
		n := binary.BigEndian.Uint32(v[4*i:])
		b.add(name, v[4*i:4*i+4], fmt.Sprintf("%d minor units", n))
	}
	for i := 8; i+2 <= len(v); i += 2 {
		words := methodWords(v[i]) + "; " + orRFU(conditionWords, v[i+1])
		if v[i]&0x40 != 0 {
			words += "; if it fails, the next rule"
		} else {
			words += "; if it fails, cardholder verification fails"
		}
		b.add(fmt.Sprintf("rule %d", i/2-3), v[i:i+2], words)
	}
	return "", b.items
}

// evidence reads exactly one evidence record.
func (d *decoder) evidence(b []byte) ([]Item, error) {
	o, n, err := next(b, 0)
	if err != nil {
		return nil, err
	}
	if o.tag != 0xBF8B01 {
		return nil, fmt.Errorf("byte 0: %v, want BF8B01", o.tag)
	}
	if n < len(b) {
		return nil, fmt.Errorf("byte %d: %d bytes after the record", n, len(b)-n)
	}
	return d.objects(b, 0)
}

// foresee finds the CDOL1 of an evidence record, which stands behind the data that
// it explains (scheme 9.1).
func (d *decoder) foresee(record []byte) {
	find := func(b []byte, tag tlv.Tag) []byte {
		nodes, err := tlv.ParseFlat(b)
		if err != nil {
			return nil
		}
		for _, n := range nodes {
			if n.Tag == tag {
				return n.Value
			}
		}
		return nil
	}
	d.cdol1 = find(find(record, 0xDF8B36), 0x8C)
}
