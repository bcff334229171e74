package phone

import "tapkeeper/emv/apdu"

// Status words beyond those of the scheme, for what the scheme never meets.
const (
	swWrongCLA apdu.SW = 0x6E00
	swInternal apdu.SW = 0x6F00
)

const (
	firstOccurrence = 0x00
	nextOccurrence  = 0x02
)

// answer parses and dispatches one command (scheme 5.1). Le is not judged: the
// scheme always sends 00 and every answer fits.
func (w *Wallet) answer(command []byte) ([]byte, apdu.SW) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, apdu.WrongLength
	}
	want := byte(0x80)
	switch c.INS {
	case apdu.InsSelect, apdu.InsReadRecord:
		want = 0x00
	case apdu.InsGPO, apdu.InsERRD, apdu.InsGenerateAC, apdu.InsRecover:
	default:
		return nil, apdu.UnknownCommand
	}
	if c.CLA != want {
		return nil, swWrongCLA
	}
	p1Free := c.INS == apdu.InsReadRecord || c.INS == apdu.InsGenerateAC
	p2Free := c.INS == apdu.InsReadRecord || c.INS == apdu.InsSelect
	switch {
	case c.INS == apdu.InsSelect && (c.P1 != 0x04 || c.P2 != firstOccurrence && c.P2 != nextOccurrence),
		c.INS != apdu.InsSelect && !p1Free && c.P1 != 0,
		!p2Free && c.P2 != 0:
		return nil, apdu.WrongParameters
	case c.INS == apdu.InsReadRecord && len(c.Data) != 0:
		return nil, apdu.WrongLength
	}
	switch c.INS {
	case apdu.InsSelect:
		return w.selectName(c.P2, c.Data)
	case apdu.InsGPO:
		return w.processingOptions(c.Data)
	case apdu.InsERRD:
		return w.exchangeRelayData(c.Data)
	case apdu.InsReadRecord:
		return w.readRecord(c.P1, c.P2)
	case apdu.InsGenerateAC:
		return w.generate(c.P1, c.Data)
	default:
		return w.recoverAnswer(c.Data)
	}
}
