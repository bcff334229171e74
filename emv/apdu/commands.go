package apdu

// Instructions of the scheme (scheme 5.1).
const (
	InsSelect      = 0xA4
	InsGPO         = 0xA8
	InsERRD        = 0xEA
	InsReadRecord  = 0xB2
	InsGenerateAC  = 0xAE
	InsRecover     = 0xD0
	InsGetResponse = 0xC0
)

// PPSE is the name of the directory of all payment applications.
const PPSE = "2PAY.SYS.DDF01"

// Select builds SELECT by name; next asks for the next occurrence.
func Select(name []byte, next bool) Command {
	c := Command{INS: InsSelect, P1: 0x04, Data: name, Le: MaxLe}
	if next {
		c.P2 = 0x02
	}
	return c
}

// GPO builds GET PROCESSING OPTIONS around the PDOL data (at most 250 bytes).
func GPO(pdolData []byte) Command {
	data := []byte{0x83}
	if len(pdolData) > 0x7F { // scheme 5.1: 83's length uses the 81 form when > 7F
		data = append(data, 0x81)
	}
	data = append(append(data, byte(len(pdolData))), pdolData...)
	return Command{CLA: 0x80, INS: InsGPO, Data: data, Le: MaxLe}
}

// ERRD builds EXCHANGE RELAY RESISTANCE DATA.
func ERRD(trre [4]byte) Command {
	return Command{CLA: 0x80, INS: InsERRD, Data: trre[:], Le: MaxLe}
}

// ReadRecord builds READ RECORD.
func ReadRecord(sfi, record byte) Command {
	return Command{INS: InsReadRecord, P1: record, P2: sfi<<3 | 0x04, Le: MaxLe}
}

// GenerateAC builds GENERATE AC; p1 is 00 AAC, 40 TC or 80 ARQC.
func GenerateAC(p1 byte, cdol1Data []byte) Command {
	return Command{CLA: 0x80, INS: InsGenerateAC, P1: p1, Data: cdol1Data, Le: MaxLe}
}

// Recover builds RECOVER.
func Recover(transaction [16]byte, un [4]byte, terminalID [8]byte) Command {
	data := append(append(append(make([]byte, 0, 28), transaction[:]...), un[:]...), terminalID[:]...)
	return Command{CLA: 0x80, INS: InsRecover, Data: data, Le: MaxLe}
}

// GetResponse builds GET RESPONSE for n bytes (1..256).
func GetResponse(n int) Command { return Command{INS: InsGetResponse, Le: n} }
