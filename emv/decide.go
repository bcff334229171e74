package emv

import (
	"bytes"
	"fmt"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
)

// What GENERATE AC asks for and the phone answers: P1 and CID (scheme 5.1, 4.2).
const (
	askAAC  = 0x00
	askTC   = 0x40
	askARQC = 0x80
)

// decide ends S5: mandatory objects, CDOL1, the checks of scheme 5.4 and 2.5,
// and what to ask (scheme 5.3, 5.6).
func (x *activation) decide() Step {
	app := x.app
	if !app.objects.has(0x8C, 0x5F24, 0x5F28, 0x9F42, 0x9F08, 0x9F07) { // scheme 4.2
		return x.final(malformed("records: mandatory object missing"))
	}
	var err error
	if app.cdol1, err = tlv.ParseDOL(app.objects.value(0x8C)); err == nil { // scheme 0.1 rule 9
		err = dict.CheckCDOL1(app.cdol1)
	}
	if err != nil {
		return x.final(malformed("records: " + err.Error()))
	}
	x.restrict(app)
	x.risk(app)
	app.checked = x.verify(app)
	return x.ask()
}

// restrict checks what the application is for (scheme 5.4, B2).
func (x *activation) restrict(app *application) {
	o, tvr, sale := app.objects, &app.tvr, &x.a.sale
	date := x.date()
	country, currency := app.aid.Country.bcd(), sale.Currency.bcd()
	tvr.setIf(!bytes.Equal(o.value(0x9F08), []byte{0x00, 0x01}), bitAppletVersion)
	tvr.setIf(bytes.Compare(date[1:], o.value(0x5F24)) > 0, bitExpired)
	tvr.setIf(o.has(0x5F25) && bytes.Compare(date[1:], o.value(0x5F25)) < 0, bitNotEffective)
	usage := byte(0x40) // b7: abroad
	switch {
	case sale.Kind == Refund:
		usage = 0x10 // b5
	case bytes.Equal(o.value(0x5F28), country[:]):
		usage = 0x80 // b8: in the issuer's country
	}
	tvr.setIf(o.value(0x9F07)[0]&usage == 0, bitUsage)
	tvr.setIf(!bytes.Equal(o.value(0x9F42), currency[:]), bitAccountCurrency)
}

// risk is the terminal's own risk management (scheme 5.4, B4).
func (x *activation) risk(app *application) {
	sale, tvr := &x.a.sale, &app.tvr
	tvr.setIf(app.flags.floor, bitFloor)
	tvr.setIf(sale.ForceOnline, bitForcedOnline)
	tvr.setIf(sale.Kind == Purchase && x.a.lookups.Exposure.Full(app.device(), sale.Amount), bitExposure)
	tvr.setIf(!x.m.ClockTrusted, bitClock)
	tvr.setIf(x.m.CRLAgeDays > app.aid.CRLMaxAgeDays, bitCRLAge)
	app.tsi.set(tsiRisk)
}

// firstDecision is the first decision of scheme 5.6.
func (x *activation) firstDecision(app *application) byte {
	aid, sale, tvr := app.aid, &x.a.sale, app.tvr
	switch {
	case tvr.hits(aid.TACDenial):
		return askAAC
	case sale.Kind == Refund || sale.Amount == 0:
		return askARQC
	case x.connected && (aid.OnlineFirst || tvr.hits(aid.TACOnline)):
		return askARQC
	case x.connected:
		return askTC
	case tvr.hits(aid.TACDefault):
		return askAAC
	}
	return askTC
}

// ask builds the CDOL1 data and the pending record, which must be durable
// before GENERATE AC is sent (scheme 8.6.1).
func (x *activation) ask() Step {
	app := x.app
	app.setResults()
	data, err := dict.Fill(app.cdol1, app.values)
	if err != nil {
		return x.final(malformed("records: " + err.Error()))
	}
	if x.used > tapBudget { // scheme 5.9: checked before the record is stored
		return x.gone("the tap's time is used up before GENERATE AC")
	}
	x.storing = x.pendingRecord(app, data)
	return Step{Store: wrap(x.storing)}
}

// pendingRecord gathers what judging the answer needs (scheme 8.6.1).
func (x *activation) pendingRecord(app *application, cdol1Data []byte) *pending {
	o, a := app.objects, x.a
	p := &pending{
		Version: pendingVersion, Transaction: a.sale.ID, UN: app.un, TerminalID: a.terminal.id(), Tries: a.tries,
		AID: app.aid.AID, TACDenial: app.aid.TACDenial, TACOnline: app.aid.TACOnline, TACDefault: app.aid.TACDefault,
		CVMRequired: app.flags.cvm, Connected: x.connected, Asked: x.firstDecision(app), TVR: app.tvr, TSI: app.tsi,
		ADF: o.value(0x84), PDOL: o.value(0x9F38), Qualifier: o.value(0x9F2C), AIP: o.value(0x82),
		PDOLData: app.pdolData, CDOL1Data: cdol1Data, Signed: app.signed,
		Issuer: o.value(0x90), Device: o.value(0x9F46), Grant: o.value(0xDF8B11), DeviceID: o.value(0xDF8B01),
		LastDigits: app.digits(), Label: app.label(), SDH: app.sdh(), SKi: bytes.Clone(app.channel.get().SKi.Bytes()),
		GrantGood: app.checked.grantGood,
	}
	if app.checked.deviceGood {
		p.Qs = bytes.Clone(app.chain.device.SignKey[:])
		p.qs = memo[channel.VerifyKey]{done: true, value: app.checked.qs}
	}
	p.Lost = append(p.Lost, a.lost...)
	if a.pending != nil { // it will be abandoned when this one is sent (scheme 8.6.5)
		p.Lost = append(p.Lost, a.pending.unanswered())
	}
	return p
}

// describeAsk names what was asked, for a trace.
func describeAsk(p1 byte) string {
	switch p1 {
	case askAAC:
		return "AAC"
	case askTC:
		return "TC"
	case askARQC:
		return "ARQC"
	}
	return fmt.Sprintf("%02X", p1)
}
