package emv

import (
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// terminalData are the elements of scheme 4.1 but TVR and relay data, which are
// zeros in the PDOL; setResults adds them for the CDOL1.
func (x *activation) terminalData(app *application) map[tlv.Tag][]byte {
	var (
		sale     = &x.a.sale
		amount   = sale.Amount.bcd()
		currency = sale.Currency.bcd()
		country  = app.aid.Country.bcd()
		id       = x.a.terminal.id()
		merchant = channel.MerchantHash(x.a.terminal.MerchantID)
		date     = x.date()
		original = make([]byte, 16)
	)
	copy(original, sale.OriginalReference.Bytes())
	return map[tlv.Tag][]byte{
		0x9F2B:   kernelQualifier,
		0x9F02:   amount[:],
		0x9F03:   make([]byte, 6),
		0x5F2A:   currency[:],
		0x9F1A:   country[:],
		0x9A:     date[1:],
		0x9F21:   x.time(),
		0x9C:     {byte(sale.Kind)},
		0x9F37:   app.un[:],
		0x9E:     app.key.XY(),
		0x9F1C:   id[:],
		0xDF8B21: merchant[:],
		0xDF8B22: sale.ID[:],
		0xDF8B24: original,
		0xDF8B26: x.request(app),
		0x9F06:   append(append([]byte{}, app.aid.AID...), make([]byte, 16-len(app.aid.AID))...),
	}
}

// setResults adds 95 and DF8B23 as of before GENERATE AC.
func (app *application) setResults() {
	app.values[0x95], app.values[0xDF8B23] = app.tvr[:], app.relay.data[:]
}

// request is DF8B26 (scheme 4.1).
func (x *activation) request(app *application) []byte {
	offline := !app.flags.floor && x.a.sale.Kind == Purchase && (!x.connected || !app.aid.OnlineFirst)
	b := []byte{0x40, 0x00} // CDCVM accepted, always
	for _, f := range []struct {
		set  bool
		at   int
		mask byte
	}{
		{app.flags.cvm, 0, 0x80},
		{x.connected, 0, 0x20},
		{offline, 0, 0x10},
		{x.a.terminal.OfflineOnly, 0, 0x08},
		{x.a.terminal.Unattended, 0, 0x04},
		{app.flags.relay, 1, 0x80},
		{app.flags.floor, 1, 0x40},
	} {
		if f.set {
			b[f.at] |= f.mask
		}
	}
	return b
}

// date is the local date as n8, time the local time as n6.
func (x *activation) date() [4]byte {
	y, m, d := x.m.Local.Date()
	return [4]byte(tlv.BCD(uint64(y*10000+int(m)*100+d), 4))
}

func (x *activation) time() []byte {
	h, m, s := x.m.Local.Clock()
	return tlv.BCD(uint64(h*10000+m*100+s), 3)
}
