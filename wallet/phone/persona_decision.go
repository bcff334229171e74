package phone

import "bytes"

// decisionPersonas give answers whose MACs and signature are right, and whose
// parts do not fit together or do not help (scheme 5.3, 5.5, 5.6).
func decisionPersonas() []Persona {
	reversed := one(Expect{Result: ended, Reason: reasonProtocol, Record: kindReversal})
	unlock := Expect{Result: tryAgain, Reason: reasonUnlock}
	restarts := []trick{asks(aac), at(stepGenerate, forges(claims(tag9F8108, 0x20, 0x20), iad(4, reasonUnlock)))}
	return []Persona{{
		Name: "key-off-curve", Doc: "gives a key that is no point of the curve", Between: true,
		Section: "5.3", Check: "5.3 S3: Pc.x a valid x", Terminal: one(Expect{Result: ended, Reason: reasonNoWallet}),
		tricks: []trick{at(stepGPO, alters(edits(tag9F8103, func(v []byte) []byte {
			return append(bytes.Repeat([]byte{0xFF}, 32), v[32:]...)
		})))},
	}, {
		Name: "wants-the-wallet", Doc: "wants the wallet asked where nobody can ask it",
		Section: "5.6", Check: "5.6: ARQC and not connected",
		Terminal: one(Expect{Result: declined, Reason: 0x27, Record: kindDeclined}), Backend: genuine(),
		tricks: []trick{asks(arqc)},
	}, {
		Name: "restart-for-ever", Doc: "always wants to be unlocked and tapped again",
		Section: "5.5", Check: "3.6: the fifth TRY_AGAIN ends the sale",
		Terminal: []Expect{unlock, unlock, unlock, unlock, {Result: ended, Reason: reasonTooEarly}}, tricks: restarts,
	}, {
		Name: "restart-unsigned", Doc: "wants to be tapped again, and its signature is wrong",
		Section: "5.5", Check: "5.5 step 5: only with good evidence",
		Terminal: one(Expect{Result: declined, Reason: reasonSignature, TVR: [5]byte{0: 0x02}, Record: kindDeclined}), Backend: fails(4, reasonSignature),
		tricks: append([]trick{at(stepGenerate, alters(edits(tag9F4B, flips(-1))))}, restarts...),
	}, {
		Name: "restart-and-pays", Doc: "pays and wants to be tapped again",
		Section: "5.5", Check: "5.5 step 3: 9F8108 only with an AAC", Terminal: reversed, Backend: genuine(),
		tricks: []trick{at(stepGenerate, forges(claims(tag9F8108, 0x20, 0x20)))},
	}, {
		Name: "reason-and-pays", Doc: "pays and says why it does not",
		Section: "5.5", Check: "5.5 step 3: no reason but with an AAC", Terminal: reversed, Backend: genuine(),
		tricks: []trick{at(stepGenerate, forges(iad(4, reasonSpent)))},
	}, {
		Name: "state-withheld", Doc: "pays and does not say what is left",
		Section: "5.5", Check: "5.5 step 3: DF8B10 exactly with a TC", Terminal: reversed, Backend: fails(9, reasonProtocol),
		tricks: []trick{at(stepGenerate, forges(withholds(tagDF8B10)))},
	}, {
		Name: "decision-unknown", Doc: "decides what does not exist",
		Section: "5.5", Check: "5.5 step 3: CID in {00, 40, 80}", Terminal: one(garbled),
		tricks: []trick{at(stepGenerate, forges(claims(tag9F27, 0xC0), withholds(tagDF8B10)))},
	}, {
		Name: "data-of-another-format", Doc: "gives application data of another format",
		Section: "4.4", Check: "4.4: format B1", Terminal: one(garbled),
		tricks: []trick{at(stepGenerate, forges(iad(0, 0xB2)))},
	}}
}
