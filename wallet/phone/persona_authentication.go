package phone

import (
	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
)

const overCVMLimit = 15_000 // above the CVM limit, below the floor limit of scheme 3.1

// cvmPersonas pretend that their user was authenticated, or need not be.
func cvmPersonas() []Persona {
	skips := []func(*draft){claims(tag9F8102, cvdNone), func(d *draft) {
		d.edit(tag9F10, func(v []byte) []byte { v[3] &^= flagCDCVM; return v })
	}}
	noCVM := Expect{Result: declined, Reason: reasonUnlock, TVR: [5]byte{2: 0x80}, Record: kindReversal}
	return []Persona{{
		Name: "cvm-flag-between", Doc: "tells the locked phone that no CVM is wanted, and the terminal that it was done",
		Section: "11", Attacks: []string{rowCVM, rowTransit}, Check: "5.5 step 2 and 4: PDOL data, CDOL1 data and CVD in the MAC and the signature", Between: true,
		Setting: Setting{AmountMinor: overCVMLimit}, Terminal: one(suspect), Backend: fails(4, reasonSignature),
		tricks: []trick{
			sees(tagDF8B26, 2, func(v []byte) { v[0] &^= 0x80 }),
			at(stepGenerate, alters(becomes(tag9F8102, cvdDone))),
		},
	}, {
		Name: "cvm-skipped", Doc: "pays over the CVM limit while locked, and says so",
		Section: "11", Attacks: []string{rowCVM, rowTransit}, Check: "5.5 step 7: B3b8", Setting: Setting{AmountMinor: overCVMLimit},
		Terminal: one(noCVM), Backend: genuine(),
		power: unlocked, tricks: []trick{at(stepGenerate, forges(skips...))},
	}, {
		Name: "cvm-skipped-online", Doc: "the same while the wallet can be asked",
		Section: "11", Attacks: []string{rowCVM, rowTransit}, Check: "5.5 step 7: B3b8", Setting: Setting{AmountMinor: overCVMLimit, Connected: true},
		Terminal: one(noCVM), Backend: genuine(),
		power: unlocked, tricks: []trick{at(stepGenerate, forges(skips...))},
	}, {
		Name: "cvm-failed", Doc: "says that its user failed to authenticate, and pays",
		Section: "5.5", Attacks: []string{rowCVM}, Check: "5.5 step 7: B3b8",
		Terminal: one(noCVM), Backend: genuine(), tricks: []trick{at(stepGenerate, forges(claims(tag9F8102, 0xFF)))},
	}, {
		Name: "cvm-invented", Doc: "names a CVM that does not exist",
		Section: "5.5", Attacks: []string{rowCVM}, Check: "5.5 step 6: B3b7",
		Terminal: one(Expect{Result: declined, Reason: reasonUnlock, TVR: [5]byte{2: 0x40}, Record: kindReversal}), Backend: genuine(),
		tricks: []trick{at(stepGenerate, forges(claims(tag9F8102, 0x01)))},
	}}
}

// suspect is a tap whose MACs are wrong: the phone may have paid all the same.
var suspect = Expect{Result: ended, Reason: reasonMAC, Record: kindSuspect}

// badCertificate is a tap that was declined for what the certificates say.
var badCertificate = Expect{Result: declined, Reason: reasonCertificate, Record: kindDeclined}

// brandPersonas are not the application, or have not the key, that they say.
func brandPersonas() []Persona {
	return []Persona{{
		Name: "wrong-cryptogram-between", Doc: "alters the cryptogram on its way",
		Section: "11", Attacks: []string{rowWrongAC}, Check: "5.5 step 2 and 4: the EDA-MAC and the signature over R1", Between: true,
		Terminal: one(suspect), Backend: fails(4, reasonSignature),
		tricks: []trick{at(stepGenerate, alters(edits(tag9F26, flips(0))))},
	}, {
		Name: "wrong-cryptogram", Doc: "signs a cryptogram that its key did not make; a terminal has no key to notice",
		Section: "11", Attacks: []string{rowWrongAC}, Check: "9.4 step 7: the issuer recomputes the cryptogram",
		Terminal: one(paid), Backend: fails(7, reasonCryptogram),
		tricks: []trick{at(stepGenerate, forges(func(d *draft) { d.badAC = true }))},
	}, {
		Name: "other-brand", Doc: "shows the name of another application, and vouches for it",
		Section: "11", Attacks: []string{rowBrand}, Check: "2.5 step 15: 84 in the SDH; B5b5",
		Terminal: one(Expect{Result: declined, Reason: reasonCertificate, TVR: [5]byte{0: 0x04, 4: 0x10}, Record: kindDeclined}), Backend: fails(3, reasonCertificate),
		tricks: []trick{
			at(stepSelect, alters(edits(tag84, otherBrand))),
			at(stepGenerate, forges(shows(func(p *Profile) { p.ADF = otherBrand(append(Hex(nil), p.ADF...)) }))),
		},
	}, {
		Name: "other-brand-between", Doc: "the name is replaced on its way",
		Section: "11", Attacks: []string{rowBrand}, Check: "2.5 step 15, 5.5 step 2: 84 in the SDH, the SDH in the MAC", Between: true,
		Terminal: one(Expect{Result: ended, Reason: reasonMAC, TVR: [5]byte{0: 0x04, 4: 0x10}, Record: kindSuspect}), Backend: fails(3, reasonCertificate),
		tricks: []trick{at(stepSelect, alters(edits(tag84, otherBrand)))},
	}, {
		Name: "other-scheme", Doc: "shows the issuer certificate of another scheme's RID",
		Section: "11", Attacks: []string{rowBrand}, Check: "2.5 step 3: RID of 90",
		Terminal: one(withTVR(badCertificate, 0, 0x08)), Backend: fails(2, reasonCertificate),
		tricks: []trick{nth(1, at(stepRead, alters(edits(tag90, flips(6)))))},
	}}
}

// identityPersonas cannot prove who they are, and want to be paid all the same.
func identityPersonas() []Persona {
	return []Persona{{
		Name: "certificate-withheld", Doc: "does not show its device certificate", Between: true,
		Section: "11", Attacks: []string{rowDowngrade}, Check: "2.5 step 1, 5.6: B1b6 in TAC-Denial",
		Terminal: one(withTVR(badCertificate, 0, 0x20)), Backend: fails(1, reasonProtocol), tricks: []trick{shortAFL()},
	}, {
		Name: "certificate-withheld-online", Doc: "the same while the wallet can be asked: no \"go online anyway\"", Between: true,
		Section: "11", Attacks: []string{rowDowngrade}, Check: "2.5 step 1, 5.6: B1b6 in TAC-Denial", Setting: Setting{Connected: true},
		Terminal: one(withTVR(badCertificate, 0, 0x20)), Backend: fails(1, reasonProtocol), tricks: []trick{shortAFL()},
	}, {
		Name: "downgrade-insists", Doc: "shows no certificate and pays although it was told to decline",
		Section: "11", Attacks: []string{rowDowngrade}, Check: "5.5 step 3: CID not above the request",
		Terminal: one(Expect{Result: ended, Reason: reasonProtocol, Record: kindReversal}), Backend: fails(1, reasonProtocol),
		tricks: []trick{shortAFL(), asks(tc)},
	}, {
		Name: "request-raised-between", Doc: "asks the phone for a TC where the terminal asked the wallet to decide", Between: true,
		Section: "5.5", Attacks: []string{rowDowngrade}, Check: "5.5 step 3: CID not above the request", Setting: Setting{Connected: true, Full: true},
		Terminal: one(Expect{Result: ended, Reason: reasonProtocol, Record: kindReversal}), Backend: genuine(), tricks: []trick{asks(tc)},
	}, {
		Name: "impostor-channel", Doc: "has the signing key of a phone, but not its channel key",
		Section: "11", Attacks: []string{rowNoChannel}, Check: "2.5 step 16: the blinding check, B1b1",
		Terminal: one(withTVR(badCertificate, 0, 0x01)), Backend: genuine(),
		prepare: profile(func(p *Profile) error { p.AgreeKey = ownScalar("channel"); return nil }),
	}, {
		Name: "impostor", Doc: "shows the certificates of a phone, and has none of its keys",
		Section: "11", Attacks: []string{rowNoChannel}, Check: "2.5 step 16 and 5.5 step 4: B1b1, B1b2",
		Terminal: one(withTVR(badCertificate, 0, 0x03)), Backend: fails(4, reasonSignature),
		prepare: profile(func(p *Profile) error {
			p.AgreeKey, p.SignKey = ownScalar("channel"), ownScalar("signature")
			return nil
		}),
	}, {
		Name: "evidence-spoiled", Doc: "spoils the signature, which no MAC covers", Between: true,
		Section: "11", Attacks: []string{rowNoChannel}, Check: "5.5 step 4: B1b2",
		Terminal: one(Expect{Result: declined, Reason: reasonSignature, TVR: [5]byte{0: 0x02}, Record: kindReversal}), Backend: fails(4, reasonSignature),
		tricks: []trick{at(stepGenerate, alters(edits(tag9F4B, flips(-1))))},
	}, {
		Name: "evidence-missing", Doc: "gives no signature", Between: true,
		Section: "11", Attacks: []string{rowNoChannel}, Check: "5.5 step 1: 9F4B is mandatory",
		Terminal: one(garbled), tricks: []trick{at(stepGenerate, alters(drops(tag9F4B)))},
	}}
}

func withTVR(e Expect, i int, bits byte) Expect {
	e.TVR[i] |= bits
	return e
}

// otherBrand is a name of the other application kind (scheme 1.4).
func otherBrand(adf []byte) []byte { adf[6] ^= 0x03; return adf }

// shortAFL leaves out the second and third record of SFI 2 (scheme 4.3).
func shortAFL() trick {
	return at(stepGPO, alters(edits(tag94, func(v []byte) []byte { v[6] = 1; return v })))
}

// tamperingPersonas change what the card's certificate vouches for.
func tamperingPersonas() []Persona {
	noRelay := func(v []byte) []byte { v[1] &^= 0x01; return v }
	widened := func(v []byte) []byte { v[0] |= 0x04; return v }
	mac := Expect{Result: ended, Reason: reasonMAC, TVR: [5]byte{0: 0x04}, Record: kindSuspect}
	sdh := Expect{Result: declined, Reason: reasonCertificate, TVR: [5]byte{0: 0x04}, Record: kindDeclined}
	return []Persona{{
		Name: "relay-bit-stripped-between", Doc: "takes the relay check out of the AIP", Between: true,
		Section: "11", Attacks: []string{rowTampering, rowRelay}, Check: "2.5 step 15, 5.5 step 2: AIP in the SDH, the SDH in the MAC",
		Terminal: one(withTVR(mac, 4, 0x01)), Backend: fails(3, reasonCertificate),
		tricks: []trick{at(stepGPO, alters(edits(tag82, noRelay)))},
	}, {
		Name: "aip-changed", Doc: "takes the relay check out of its AIP, and vouches for it",
		Section: "11", Attacks: []string{rowTampering}, Check: "2.5 step 15: AIP in the SDH",
		Terminal: one(withTVR(sdh, 4, 0x01)), Backend: fails(3, reasonCertificate),
		tricks: []trick{
			at(stepGPO, alters(edits(tag82, noRelay))),
			at(stepGenerate, forges(shows(func(p *Profile) { p.AIP = noRelay(append(Hex(nil), p.AIP...)) }))),
		},
	}, {
		Name: "afl-unsigned-between", Doc: "marks the signed record as unsigned", Between: true,
		Section: "11", Attacks: []string{rowTampering}, Check: "0.1 rule 5: signed objects in an unsigned record", Terminal: one(garbled),
		tricks: []trick{at(stepGPO, alters(edits(tag94, func(v []byte) []byte { v[7] = 0; return v })))},
	}, {
		Name: "pdol-swapped-between", Doc: "shows the terminal another PDOL than the phone has", Between: true,
		Section: "11", Attacks: []string{rowTampering}, Check: "2.5 step 15, 5.5 step 2: PDOL in the SDH, PDOL data in the MAC",
		Terminal: one(mac), Backend: fails(3, reasonCertificate),
		tricks: []trick{
			at(stepSelect, alters(edits(tag9F38, func(v []byte) []byte { return append(v, 0x9F, 0x03, 0x06) }))),
			strips(6),
		},
	}, {
		Name: "record-flipped-between", Doc: "flips a bit of an encrypted record, which counter mode lets through", Between: true,
		Section: "11", Attacks: []string{rowTampering}, Check: "2.5 step 15, 5.5 step 2: the signed records in the SDH, the SDH in the MAC",
		Terminal: one(mac), Backend: fails(3, reasonCertificate),
		tricks: []trick{nth(2, at(stepRead, alters(flips(32))))},
	}, {
		Name: "usage-widened", Doc: "allows itself more than the issuer did, and vouches for it",
		Section: "11", Attacks: []string{rowTampering}, Check: "2.5 step 15: the signed records in the SDH",
		Terminal: one(sdh), Backend: fails(3, reasonCertificate),
		tricks: []trick{
			nth(2, at(stepRead, reseals(edits(tag9F07, widened)))),
			at(stepGenerate, forges(shows(func(p *Profile) {
				if r, err := p.record(tag9F07); err == nil {
					r.Content = edits(tag9F07, widened)(r.Content)
				}
			}))),
		},
	}, {
		Name: "qualifier-weakened-between", Doc: "says that the card has no evidence to give", Between: true,
		Section: "11", Attacks: []string{rowTampering}, Check: "5.3 S3: an AIP without evidence is not for this kernel",
		Terminal: one(Expect{Result: ended, Reason: reasonNoWallet}),
		tricks:   []trick{at(stepGPO, alters(edits(tag82, func(v []byte) []byte { v[0] &^= 0x80; return v })))},
	}, {
		Name: "talkative", Doc: "sends in the clear what identifies it",
		Section: "11", Attacks: []string{rowTracking}, Check: "4.3: DF8B01, 9F46 and DF8B11 only encrypted", Terminal: one(garbled),
		tricks: []trick{at(stepRead, func(x *exchange, next func() []byte) []byte {
			return x.inTheClear(next())
		})},
	}}
}

// inTheClear turns an encrypted record into a plain one.
func (x *exchange) inTheClear(answer []byte) []byte {
	var plain []byte
	reseals(func(b []byte) []byte { plain = b; return b })(x, func() []byte { return answer })
	if plain == nil {
		return answer
	}
	return apdu.Response{Data: tlv.Append(nil, tag70, plain), SW: apdu.OK}.Bytes()
}
