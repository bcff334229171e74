package phone

// Rows of scheme 11, first column.
const (
	rowCVM        = "PIN/CVM bypass by unauthenticated CVM flags"
	rowWrongAC    = "offline acceptance of a wrong AC"
	rowBrand      = "brand / AID mix-up"
	rowDowngrade  = "downgrade by failing authentication"
	rowNoChannel  = "forging TC without channel authentication"
	rowTampering  = "AIP / AFL / PDOL tampering"
	rowCurrency   = "foreign-currency offline"
	rowPrePlay    = "pre-play, weak UN"
	rowReplay     = "replay of an old answer"
	rowRelay      = "relay"
	rowTransit    = "always-on transit-style approval on locked phone"
	rowRollback   = "ATC replay, double spend, rolled-back phone"
	rowOwnMoney   = "forged grant / own money"
	rowTear       = "tear to get goods or to lose money"
	rowSplit      = "split taps under the limit"
	rowMerchant   = "merchant replays or alters records"
	rowClaim      = "merchant claims a decline as approved"
	rowTracking   = "tracking of customers over the air"
	rowExtraction = "key extraction from a terminal"
	rowTLV        = "duplicate / malformed TLV confusion"
	rowStaleCRL   = "stale CRL"
	rowRefund     = "refund to another wallet"
)

// Results of scheme 3.6.
const (
	approved     = "APPROVED"
	online       = "ONLINE"
	declined     = "DECLINED"
	tryAgain     = "TRY_AGAIN"
	otherWay     = "OTHER_INTERFACE"
	ended        = "END"
	undetermined = "UNDETERMINED"
)

// Reasons of scheme 10 that a terminal gives.
const (
	reasonNoWallet    = 0x10
	reasonStale       = 0x11
	reasonPhone       = 0x12
	reasonCertificate = 0x20
	reasonMAC         = 0x21
	reasonSignature   = 0x22
	reasonRevoked     = 0x23
	reasonDistance    = 0x24
	reasonRepeated    = 0x25
	reasonTerminal    = 0x26
	reasonTooEarly    = 0x28
	reasonUnknown     = 0x29
	reasonProtocol    = 0x2A
	reasonCounter     = 0x31
	reasonCryptogram  = 0x32
	reasonAllowance   = 0x33
	reasonOutdated    = 0x06
)

// Kinds of evidence record (scheme 9.1).
const (
	kindOffline  = 0x01
	kindOnline   = 0x02
	kindDeclined = 0x03
	kindReversal = 0x04
	kindSuspect  = 0x05
	kindRefund   = 0x06
)

// Personas are all of them, each name once.
func Personas() []Persona {
	var all []Persona
	for _, group := range [][]Persona{
		cvmPersonas(), brandPersonas(), identityPersonas(), tamperingPersonas(), replayPersonas(), relayPersonas(), grantPersonas(), limitPersonas(), statePersonas(),
		rollbackPersonas(), decisionPersonas(), honestPersonas(), refundPersonas(), statusPersonas(), latePersonas(), tearPersonas(),
		recoverPersonas(), malformedPersonas(), chainPersonas(),
	} {
		all = append(all, group...)
	}
	return all
}

// PersonaNamed finds one by its name.
func PersonaNamed(name string) (Persona, bool) {
	for _, p := range Personas() {
		if p.Name == name {
			return p, true
		}
	}
	return Persona{}, false
}

// one is what a sale of one tap comes to.
func one(e Expect) []Expect { return []Expect{e} }

func fails(step int, reason byte) *Verdict { return &Verdict{step, reason} }

// genuine is the verdict on evidence that a phone has signed and meant.
func genuine() *Verdict { return &Verdict{} }

// again is a TRY_AGAIN before GENERATE AC, unknown one after it.
var (
	again   = Expect{Result: tryAgain, Reason: reasonTooEarly}
	unknown = Expect{Result: tryAgain, Reason: reasonUnknown, Pending: true}
	paid    = Expect{Result: approved, Record: kindOffline}
	noProof = Expect{Result: undetermined, Reason: reasonUnknown, Record: kindDeclined}
	garbled = Expect{Result: ended, Reason: reasonProtocol}
)
