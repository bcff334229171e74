package phone

import (
	"time"

	"tapkeeper/emv/tlv"
)

// replayPersonas say again what was said before.
func replayPersonas() []Persona {
	return []Persona{{
		Name: "answer-replayed-between", Doc: "gives the answer of the sale before", Between: true,
		Section: "11", Attacks: []string{rowPrePlay, rowReplay}, Check: "5.5 step 2 and 4: fresh UN and Qk in the MAC and the signature", Setting: Setting{Sales: 2},
		Terminal: one(suspect), Backend: fails(4, reasonSignature),
		tricks: []trick{fromTap(2, at(stepGenerate, replays(1)))},
	}, {
		Name: "dialogue-replayed", Doc: "repeats a whole tap that was recorded before", Between: true,
		Section: "11", Attacks: []string{rowPrePlay}, Check: "6.1, 6.8: a fresh Qk makes the recorded records unreadable", Setting: Setting{Sales: 2},
		Terminal: one(garbled), tricks: []trick{fromTap(2, replays(1))},
	}, {
		Name: "old-answer-recovered", Doc: "gives the answer of another payment when asked for a lost one", Between: true,
		Section: "11", Attacks: []string{rowReplay, rowTear}, Check: "8.6.4: RECOVER only in the pending context, 5.5 step 2", Setting: Setting{Sales: 2},
		Terminal: []Expect{unknown, noProof}, Backend: genuine(),
		tricks: []trick{inTap(2, at(stepGenerate, tears())), fromTap(3, at(stepRecover, replaysAs(stepGenerate, 1)))},
	}, {
		Name: "old-session-keys", Doc: "knows the session keys of the tap before, as from a stolen terminal, and answers with them",
		Section: "11", Attacks: []string{rowExtraction, rowReplay}, Check: "6.1, 9.2: session keys die with the tap; 5.5 step 2", Setting: Setting{Sales: 2},
		Terminal: one(suspect), Backend: fails(4, reasonSignature),
		tricks: []trick{fromTap(2, at(stepGenerate, forges(func(d *draft) {
			for _, old := range d.x.a.tape[0] {
				if old.step == stepGenerate {
					d.ski = old.keys.SKi
				}
			}
			if key, err := own("signature"); err == nil {
				d.sign = key
			}
		})))},
	}, {
		Name: "self-issued", Doc: "has all that a stolen terminal holds, and makes certificates, grant and evidence of its own",
		Section: "11", Attacks: []string{rowExtraction, rowOwnMoney}, Check: "2.5 step 7: the CA's signature, whose key is in no terminal",
		Terminal: one(Expect{Result: declined, Reason: reasonCertificate, TVR: [5]byte{0: 0x08}, Record: kindDeclined}),
		Backend:  fails(2, reasonCertificate), prepare: profile(selfIssued),
	}}
}

// relayPersonas stretch the air between phone and terminal: one teller at the
// terminal, one at the victim's phone.
func relayPersonas() []Persona {
	far := when(func(x *exchange) bool { return x.step == stepERRD }, delay(40*time.Millisecond))
	tooFar := Expect{Result: declined, Reason: reasonDistance, TVR: [5]byte{4: 0x06}, Record: kindDeclined}
	return []Persona{{
		Name: "relay", Doc: "two tellers pass every byte on, and lose 40 ms", Between: true,
		Section: "11", Attacks: []string{rowRelay}, Check: "5.7: B5b3 in TAC-Default",
		Terminal: one(tooFar), Backend: genuine(), tricks: []trick{far},
	}, {
		Name: "relay-online", Doc: "the same while the wallet can be asked: it decides, and sees the bits", Between: true,
		Section: "11", Attacks: []string{rowRelay}, Check: "5.7: B5b3 in TAC-Online", Setting: Setting{Connected: true},
		Terminal: one(Expect{Result: online, TVR: [5]byte{4: 0x06}, Record: kindOnline}), Backend: genuine(), tricks: []trick{far},
	}, {
		Name: "relay-answers-itself", Doc: "the near teller answers the relay check in the phone's place", Between: true,
		Section: "11", Attacks: []string{rowRelay}, Check: "7.4 d: the phone finds another relay answer in the CDOL1 data",
		Terminal: one(Expect{Result: ended, Reason: reasonPhone}),
		tricks:   []trick{at(stepERRD, says(0x80, 0x0A, 1, 2, 3, 4, 0, 5, 0, 10, 0, 24, 0x90, 0x00))},
	}, {
		Name: "relay-patient", Doc: "a broken phone says that it is slow, so that a teller has time",
		Section: "11", Attacks: []string{rowRelay}, Check: "5.7: B5b4, more than the accuracy above its minimum",
		Terminal: one(Expect{Result: declined, Reason: reasonDistance, TVR: [5]byte{4: 0x0A}, Record: kindDeclined}), Backend: genuine(),
		prepare: profile(func(p *Profile) error { p.Relay.Max = 0xFFFF; return nil }), tricks: []trick{far},
	}, {
		Name: "relay-too-fast", Doc: "is faster than it says a phone can be",
		Section: "5.7", Attacks: []string{rowRelay}, Check: "5.7: below min less the grace",
		Terminal: one(Expect{Result: ended, Reason: reasonDistance}),
		prepare:  profile(func(p *Profile) error { p.Relay = RelayTimes{Min: 60, Max: 80, Est: 24}; return nil }),
	}, {
		Name: "relay-estimate", Doc: "estimates its own speed far from the reader's",
		Section: "5.7", Attacks: []string{rowRelay}, Check: "5.7: mismatch, B5b4",
		Terminal: one(Expect{Result: declined, Reason: reasonDistance, TVR: [5]byte{4: 0x0A}, Record: kindDeclined}), Backend: genuine(),
		prepare: profile(func(p *Profile) error { p.Relay.Est = 2; return nil }),
	}, {
		Name: "relay-crossed", Doc: "gives a minimum above its maximum",
		Section: "5.7", Attacks: []string{rowRelay}, Check: "5.7: min > max", Terminal: one(garbled),
		prepare: profile(func(p *Profile) error { p.Relay = RelayTimes{Min: 11, Max: 10, Est: 24}; return nil }),
	}, {
		Name: "relay-short", Doc: "answers the relay check with nine bytes",
		Section: "5.7", Attacks: []string{rowRelay}, Check: "5.7: an answer of another form", Terminal: one(garbled),
		tricks: []trick{at(stepERRD, alters(func(b []byte) []byte { return tlv.Append(nil, tag80, b[2:11]) }))},
	}}
}
