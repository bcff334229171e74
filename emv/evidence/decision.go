package evidence

import (
	"bytes"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
)

// Kinds of record (scheme 9.1) and what the phone answered (scheme 4.2).
const (
	kindApproved = 0x01
	kindOnline   = 0x02
	kindDeclined = 0x03
	kindReversal = 0x04
	kindSuspect  = 0x05
	kindRefund   = 0x06

	cidAAC  = 0x00
	cidTC   = 0x40
	cidARQC = 0x80
)

// decision re-evaluates the terminal's decision as far as the record tells
// (scheme 5.4 to 5.6), under the scheme's own action codes.
func (e *record) decision(r *Report, c *chain) {
	if e.kind() == kindSuspect {
		r.skip(CheckDecision, "a suspect record: the channel's MACs failed, and the terminal decided nothing (scheme 5.5 step 2)")
		return
	}
	name := "online-capable"
	if e.request(0, 0x08) {
		name = "offline-only"
	}
	good := fmt.Sprintf("it follows from TVR %X under the %s profile; TVR bits that only the terminal could know are taken as they are", e.part[tagTVR], name)
	if !c.good {
		good += "; those of certificates and grant too"
	}
	why := e.wrongTVR(c)
	if why == "" {
		why = e.wrongOutcome()
	}
	if why == "" {
		why = e.wrongResults()
	}
	r.add(CheckDecision, why == "", good, why)
}

// incoherent: scheme 5.5 step 3 ended it before CVM and allowance were looked at.
func (e *record) incoherent() bool {
	return e.kind() == kindReversal && e.part[tagReason][0] == reasonProtocol
}

// claim is a TVR bit that the record tells by itself. A weak claim must be in
// the TVR when it is true; the terminal may have had other reasons to set it.
type claim struct {
	bit  bit
	true bool
	weak bool
	what string
}

// wrongTVR compares the record's TVR with what the record itself tells.
func (e *record) wrongTVR(c *chain) string {
	before, after := tvr(e.cdol1[tagTVR]), tvr(e.part[tagTVR])
	if lost := before.minus(after); lost != (tvr{}) {
		return fmt.Sprintf("TVR %X has lost bits of the one that the phone signed", after)
	}
	if !e.incoherent() && after.minus(before).minus(afterAnswer()) != (tvr{}) {
		return fmt.Sprintf("TVR %X has new bits that no answer of a phone can set", after)
	}
	for _, claims := range [][]claim{e.applicationClaims(c), e.answerClaims(c), e.grantClaims(c)} {
		for _, l := range claims {
			switch has := after.has(l.bit); {
			case l.true && !has:
				return "TVR hides this: " + l.what
			case !l.true && has && !l.weak:
				return "TVR says this and it is not so: " + l.what
			}
		}
	}
	return ""
}

// applicationClaims are known before GENERATE AC (scheme 5.4).
func (e *record) applicationClaims(c *chain) []claim {
	date, static := e.cdol1[tagDate], e.static
	usage := byte(0x40)
	switch {
	case e.refund():
		usage = 0x10
	case bytes.Equal(static[0x5F28], e.cdol1[tagCountry]):
		usage = 0x80
	}
	allowed := len(static[0x9F07]) == 2 && static[0x9F07][0]&usage != 0
	from, has := static[0x5F25]
	late := bytes.Compare(date, static[0x5F24]) > 0 || c.reached && c.device.Expired(e.day())
	early := has && bytes.Compare(date, from) < 0 || c.reached && !c.device.Begun(e.day())
	relay := !bytes.Equal(e.cdol1[tagRelay], make([]byte, 14))
	noRelay := e.part[tagAIP][1]&0x01 == 0
	return []claim{
		{bitAppletVersion, !bytes.Equal(static[0x9F08], []byte{0, 1}), false, "the applet's version is not 0001"},
		{bitExpired, late, !c.reached, "the application or its certificate was expired"},
		{bitNotEffective, early, !c.reached, "the application or its certificate was not in force yet"},
		{bitUsage, !allowed, false, "the card does not allow this kind of payment"},
		{bitAccountCurrency, !bytes.Equal(static[0x9F42], e.cdol1[tagCurrency]), false, "the account has another currency"},
		{bitFloor, e.request(1, 0x40) && !e.refund(), false, "the amount is over the floor limit"},
		{bitAIDMismatch, !bytes.HasPrefix(e.part[tagADF], e.part[tagAID]), false, "the application is another than was selected"},
		{bitRelayDone, relay, false, "the relay check was done"},
		{bitRelayNotDone, noRelay && e.request(1, 0x80), false, "the relay check was required and not done"},
		{bitDeviceCert, c.reached && !c.good && !late && !early || c.good && !c.staticGood, true, "the device certificate was not good"},
	}
}

// answerClaims are steps 4, 6 and 7 of scheme 5.5.
func (e *record) answerClaims(c *chain) []claim {
	var claims []claim
	if e.incoherent() {
		return nil
	}
	if c.good {
		// Without an authenticated key there was nothing to verify with (scheme 2.5).
		stopped := tvr(e.part[tagTVR]).hits(tvr{0: 0x6C, 1: 0x08})
		claims = append(claims, claim{bitEvidence, !c.signature, stopped, "the evidence signature was not good"})
	}
	cvd := e.answer[tagCVD]
	if len(cvd) != 1 {
		return claims
	}
	required := e.request(0, 0x80)
	done, none, failed := cvd[0] == 0x03, cvd[0] == 0x00, cvd[0] == 0xFF
	return append(claims,
		claim{bitCVDUnknown, !done && !none && !failed, false, "the phone said something unknown about its holder"},
		claim{bitCVMNotDone, required && !done || failed, false, "the holder was not verified although it was required"})
}

// grantClaims are steps 30 to 35 of scheme 2.5 and rules 1 to 6 of 7.3.
func (e *record) grantClaims(c *chain) []claim {
	if !c.good || e.refund() {
		return nil
	}
	bad, over := false, false
	id := e.static[tagDeviceID]
	g, err := cert.ParseGrant(e.part[tagGrant])
	known := err == nil && e.part[tagAIP][1]&0x08 != 0 && c.issuer.MayIssueGrants() && c.device.MayApproveOffline() &&
		g.Belongs(c.issuer.Serial, [8]byte(id)) && g.SignedBy(c.issuerKey)
	amount, _ := tlv.Number(e.cdol1[tagAmount])
	switch {
	case !known || !g.InForce(e.minute()):
		bad = true
	case g.Currency != [2]byte(e.cdol1[tagCurrency]) || !g.Covers(amount):
		over = true
	}
	if coded, has := e.answer[tagState]; has && !e.incoherent() {
		state, err := cert.ParseState(coded)
		over = over || !known || err != nil || !state.Consistent(e.part[tagGrant], e.link())
	}
	return []claim{
		{bitNoGrant, bad, true, "there was no valid allowance"},
		{bitAllowance, over, true, "the allowance was exceeded or its state does not add up"},
	}
}

// wrongResults compares CVM results and TSI with what they are made from
// (scheme 5.4, 5.5). Whether the answer came by recovery, no record tells.
func (e *record) wrongResults() string {
	after, reached := tvr(e.part[tagTVR]), !e.incoherent()
	want := [3]byte{0x1F, 0x00, 0x02}
	switch {
	case !reached || after.has(bitCVMNotDone) || after.has(bitCVDUnknown):
		want = [3]byte{0x3F, 0x00, 0x01}
	case bytes.Equal(e.answer[tagCVD], []byte{0x03}):
		want = [3]byte{0x01, 0x00, 0x02}
	}
	if want != [3]byte(e.part[tagCVMResults]) {
		return fmt.Sprintf("CVM results are %X, want %X", e.part[tagCVMResults], want)
	}
	const certificates, cvm, risk, evidenceGood, recovered, relay = 0x80, 0x40, 0x08, 0x01, 0x80, 0x40
	tsi := [2]byte{certificates | risk, e.part[tagTSI][1] & recovered}
	if reached {
		tsi[0] |= cvm
	}
	if reached && !after.has(bitEvidence) {
		tsi[0] |= evidenceGood
	}
	if after.has(bitRelayDone) {
		tsi[1] |= relay
	}
	if tsi != [2]byte(e.part[tagTSI]) {
		return fmt.Sprintf("TSI is %X, want %X", e.part[tagTSI], tsi)
	}
	return ""
}

// wrongOutcome is scheme 5.6: whether kind and reason are what it decides.
func (e *record) wrongOutcome() string {
	after, codes := tvr(e.part[tagTVR]), profileOf(e.request(0, 0x08))
	if e.incoherent() {
		return ""
	}
	if cid := e.cid(); rank(cid) > rank(e.mayAsk(codes)) {
		return fmt.Sprintf("the phone answered %02X, which the terminal could not have asked for", cid)
	}
	for _, may := range e.mayDecide(after, codes) {
		if may.kind == e.kind() && may.reason == e.part[tagReason][0] {
			return ""
		}
	}
	return fmt.Sprintf("from TVR %X and answer %02X a record of kind %02X with reason %02X does not follow",
		after, e.cid(), e.kind(), e.part[tagReason][0])
}

func rank(cid byte) int { return int(map[byte]int{cidAAC: 0, cidARQC: 1, cidTC: 2}[cid]) }

// mayAsk is the most that the first decision of scheme 5.6 can have asked for;
// the mode online_first, which a record does not tell, asks for less.
func (e *record) mayAsk(codes profile) byte {
	before := tvr(e.cdol1[tagTVR])
	amount, _ := tlv.Number(e.cdol1[tagAmount])
	switch {
	case before.hits(codes.denial):
		return cidAAC
	case e.refund() || amount == 0:
		return cidARQC
	case e.connected() && before.hits(codes.online):
		return cidARQC
	case !e.connected() && before.hits(codes.fallback):
		return cidAAC
	}
	return cidTC
}

type verdict struct{ kind, reason byte }

// mayDecide is the second decision of scheme 5.6 with the records of 9.3.
func (e *record) mayDecide(after tvr, codes profile) []verdict {
	cid, phone := e.cid(), e.answer[tagIAD][4]
	declined := byte(kindDeclined)
	if cid == cidTC {
		declined = kindReversal
	}
	switch {
	case after.hits(codes.denial):
		return []verdict{{declined, after.explain()}}
	case cid == cidAAC && e.mayAsk(codes) == cidAAC:
		return []verdict{{declined, after.explain()}}
	case cid == cidAAC && phone == 0:
		return []verdict{{declined, reasonRisk}}
	case cid == cidAAC && phone == reasonDuplicate: // undetermined when an earlier answer was lost
		return []verdict{{declined, phone}, {declined, reasonUnknown}}
	case cid == cidAAC:
		return []verdict{{declined, phone}}
	case cid == cidARQC && e.refund():
		return []verdict{{kindRefund, 0}, {declined, reasonOtherWallet}}
	case cid == cidARQC && e.connected():
		return []verdict{{kindOnline, 0}}
	case cid == cidARQC:
		return []verdict{{declined, reasonOffline}}
	case e.connected() && after.hits(codes.online):
		return []verdict{{kindOnline, 0}}
	case !e.connected() && after.hits(codes.fallback):
		return []verdict{{declined, after.explain()}}
	}
	return []verdict{{kindApproved, 0}}
}
