package evidence

import (
	"bytes"
	"strings"
	"testing"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// forger makes records under a CA of its own: everything is rightly signed but
// what a test has chosen, so that each check stands alone.
type forger struct {
	*testing.T
	part   map[tlv.Tag][]byte
	cdol1  tlv.DOL
	issuer cert.Issuer
	device cert.Device
	ca     channel.SignKey
	di, ds channel.SignKey
}

func newForger(t *testing.T) *forger {
	t.Helper()
	raw, keys := approved(t)
	e, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{T: t, part: map[tlv.Tag][]byte{}}
	for tag, value := range e.part {
		f.part[tag] = bytes.Clone(value)
	}
	if f.cdol1, err = tlv.ParseDOL(e.static[tagCDOL1]); err != nil {
		t.Fatal(err)
	}
	c := &chain{}
	if why := e.certificates(keys, c); why != "" {
		t.Fatal(why)
	}
	f.issuer, f.device = c.issuer, c.device
	for i, k := range []*channel.SignKey{&f.ca, &f.di, &f.ds} {
		if *k, err = channel.NewSignKey(bytes.Repeat([]byte{byte(i + 1)}, 32)); err != nil {
			t.Fatal(err)
		}
	}
	f.issuer.Key, f.device.SignKey = f.public(f.di), f.public(f.ds)
	return f
}

func (f *forger) public(k channel.SignKey) [33]byte {
	f.Helper()
	p, err := k.Public().Compressed()
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// set changes a terminal's object in the CDOL1 data, and in the PDOL data where it stands.
func (f *forger) set(tag tlv.Tag, value ...byte) {
	f.Helper()
	pdol, err := tlv.ParseDOL(f.part[tagPDOL])
	if err != nil {
		f.Fatal(err)
	}
	at, ok := f.cdol1.Find(f.part[tagCDOL1Data], tag, len(value))
	if !ok {
		f.Fatalf("%v is not in the CDOL1", tag)
	}
	copy(at, value)
	if at, ok = pdol.Find(f.part[tagPDOLData], tag, len(value)); ok {
		copy(at, value)
	}
}

// answer changes a value in the phone's answer.
func (f *forger) answer(tag tlv.Tag, value ...byte) {
	f.Helper()
	old, err := tlv.ParseOne(f.part[tagAnswer])
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range old.Kids {
		if n.Tag == tag {
			copy(n.Value, value) // it lies in the part
			return
		}
	}
	f.Fatalf("%v is not in the answer", tag)
}

// drop takes an object out of the phone's answer.
func (f *forger) drop(tag tlv.Tag) {
	f.Helper()
	old, err := tlv.ParseOne(f.part[tagAnswer])
	if err != nil {
		f.Fatal(err)
	}
	var inside []byte
	for _, n := range old.Kids {
		if n.Tag != tag {
			inside = append(inside, n.Raw...)
		}
	}
	f.part[tagAnswer] = tlv.Append(nil, tagTemplate, inside)
}

// sign signs whatever was chosen and writes the record.
func (f *forger) sign() ([]byte, []CAKey) {
	f.Helper()
	must := func(b []byte, err error) []byte {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.part[tagIssuerCert] = must(f.issuer.Sign(f.ca))
	f.part[tagDeviceCert] = must(f.device.Sign(f.di))
	if g, err := cert.ParseGrant(f.part[tagGrant]); err == nil {
		f.part[tagGrant] = must(g.Sign(f.di))
	}
	answer, err := tlv.ParseOne(f.part[tagAnswer])
	if err != nil {
		f.Fatal(err)
	}
	evidence := must(channel.SignEvidence(f.ds, f.device.SDH, f.part[tagPDOLData], f.part[tagCDOL1Data], channel.R1(answer.Kids)))
	f.answer(tagEvidence, evidence...)
	return f.write(), []CAKey{{f.issuer.RID, f.issuer.Index, f.public(f.ca)}}
}

func (f *forger) write() []byte {
	var b []byte
	for _, p := range parts {
		if value, has := f.part[p.tag]; has {
			b = tlv.Append(b, p.tag, value)
		}
	}
	return tlv.Append(nil, tagRecord, b)
}

// TestForged: one thing is wrong in an otherwise rightly signed record, and the
// check that is there for it says so.
func TestForged(t *testing.T) {
	const connected, cvm = 0x20, 0x80
	online := func(f *forger) { // an ARQC that was rightly sent on
		f.answer(tagCID, cidARQC)
		f.drop(tagState)
		f.part[tagKind][0] = kindOnline
		request, _ := f.cdol1.Find(f.part[tagCDOL1Data], tagRequest, 2)
		f.set(tagRequest, request[0]|connected, request[1])
	}
	for name, c := range map[string]struct {
		forge func(*forger)
		check string // that fails; "" when all is well
		says  string
	}{
		// A forged CA has another grant chain; its state chain ends with the grant's bytes.
		"online":              {online, "", ""},
		"issuer too early":    {func(f *forger) { online(f); f.issuer.NotBefore = cert.Date{0x20, 0x99, 1, 1} }, CheckCertificates, "not in force"},
		"issuer too late":     {func(f *forger) { online(f); f.issuer.NotAfter = cert.Date{0x20, 0x01, 1, 1} }, CheckCertificates, "not in force"},
		"issuer not for that": {func(f *forger) { online(f); f.issuer.Usage &^= 0x80 }, CheckCertificates, "not for phones"},
		"device too early":    {func(f *forger) { online(f); f.device.NotBefore = cert.Date{0x20, 0x99, 1, 1} }, CheckCertificates, "not in force yet"},
		"device too late":     {func(f *forger) { online(f); f.device.NotAfter = cert.Date{0x20, 0x01, 1, 1} }, CheckCertificates, "expired"},
		"device of another":   {func(f *forger) { online(f); f.device.DeviceID[0] ^= 1 }, CheckCertificates, "another issuer or device"},
		"hash of another":     {func(f *forger) { online(f); f.device.SDH[0] ^= 1 }, CheckStatic, ""},
		"another RID":         {func(f *forger) { online(f); f.issuer.RID[0] ^= 1 }, CheckCertificates, "another RID"},
		"bits taken off":      {func(f *forger) { online(f); f.set(tagTVR, 0, 0, 0, 0x02, 0x02) }, CheckDecision, "lost bits"},
		"bits added":          {func(f *forger) { online(f); f.part[tagTVR][3] |= 0x02 }, CheckDecision, "new bits"},
		"more than was asked": {func(f *forger) { online(f); deny(f) }, CheckDecision, "could not have asked"},
		"holder not verified": {func(f *forger) { online(f); request(f, cvm) }, CheckDecision, "hides this: the holder"},
		"holder verified": {func(f *forger) {
			online(f)
			request(f, cvm)
			f.answer(tagCVD, 0x03)
			f.part[tagCVMResults] = []byte{1, 0, 2}
		}, "", ""},
		"holder, said no":       {func(f *forger) { online(f); f.answer(tagCVD, 0x03) }, CheckDecision, "CVM results"},
		"unknown about holder":  {func(f *forger) { online(f); f.answer(tagCVD, 0x07) }, CheckDecision, "unknown about its holder"},
		"evidence not noted":    {func(f *forger) { online(f); f.part[tagTSI][0] &^= 0x01 }, CheckDecision, "TSI"},
		"offline, though not":   {func(f *forger) { online(f); f.part[tagKind][0] = kindDeclined }, CheckDecision, "does not follow"},
		"another reason":        {func(f *forger) { online(f); f.part[tagReason][0] = 0x0B }, CheckDecision, "does not follow"},
		"kind and answer":       {func(f *forger) { online(f); f.part[tagKind][0] = kindApproved }, CheckData, "does not hold"},
		"offline, not there":    {func(f *forger) { online(f); request(f, 0); unset(f, connected) }, CheckDecision, "does not follow"},
		"floor":                 {func(f *forger) { online(f); over(f) }, CheckDecision, "over the floor limit"},
		"said of the floor":     {func(f *forger) { online(f); floor(f) }, CheckDecision, "says this and it is not so"},
		"not a date":            {func(f *forger) { online(f); f.set(tagDate, 0x26, 0x1A, 0x01) }, CheckLayout, "a number is not one"},
		"another currency":      {func(f *forger) { online(f); f.set(tagCurrency, 0x08, 0x40) }, CheckDecision, "another currency"},
		"no allowance that day": {func(f *forger) { online(f); f.set(tagDate, 0x26, 0x12, 0x31) }, CheckDecision, "no valid allowance"},
	} {
		f := newForger(t)
		c.forge(f)
		r := Examine(f.sign())
		var got, why string
		for _, k := range r.Checks {
			if k.Result == Fail && (got == "" || k.Name == c.check) {
				got, why = k.Name, k.Why
			}
		}
		if got != c.check || !strings.Contains(why, c.says) {
			t.Errorf("%s: failed %q (%s), want %q (%s)", name, got, why, c.check, c.says)
		}
	}
}

func request(f *forger, bits byte) {
	now, _ := f.cdol1.Find(f.part[tagCDOL1Data], tagRequest, 2)
	f.set(tagRequest, now[0]|bits, now[1])
}

func unset(f *forger, bits byte) {
	now, _ := f.cdol1.Find(f.part[tagCDOL1Data], tagRequest, 2)
	f.set(tagRequest, now[0]&^bits, now[1])
}

func over(f *forger) {
	now, _ := f.cdol1.Find(f.part[tagCDOL1Data], tagRequest, 2)
	f.set(tagRequest, now[0], now[1]|0x40)
}

// floor says in the TVR, before and after, that the amount was over the floor limit.
func floor(f *forger) {
	now, _ := f.cdol1.Find(f.part[tagCDOL1Data], tagTVR, 5)
	f.set(tagTVR, now[0], now[1], now[2], now[3]|0x80, now[4])
	f.part[tagTVR][3] |= 0x80
}

// deny sets a bit that must be declined before the phone is asked: the device is on the exception list.
func deny(f *forger) {
	now, _ := f.cdol1.Find(f.part[tagCDOL1Data], tagTVR, 5)
	with := append([]byte{now[0] | 0x10}, now[1:]...)
	f.set(tagTVR, with...)
	f.part[tagTVR][0] |= 0x10
	f.part[tagKind][0], f.part[tagReason][0] = kindDeclined, 0x23
}

// TestLongLength: a record whose lengths are not minimal is another record.
func TestLongLength(t *testing.T) {
	raw, keys := approved(t)
	outer, err := tlv.ParseFlat(raw)
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Replace(outer[0].Value, []byte{0x82, 0x02}, []byte{0x82, 0x81, 0x02}, 1)
	r := Examine(tlv.Append(nil, tagRecord, long), keys)
	if failing(r) != CheckLayout || !strings.Contains(r.Checks[0].Why, "minimal") {
		t.Errorf("%v", r.Checks)
	}
}
