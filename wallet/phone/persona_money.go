package phone

import (
	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// insists is a TC that the terminal did not ask for.
var insists = Expect{Result: ended, Reason: reasonProtocol, Record: kindReversal}

// grantPersonas have no grant that is worth anything, and spend it.
func grantPersonas() []Persona {
	noGrant := Expect{Result: declined, Reason: reasonNoGrant, TVR: [5]byte{3: 0x40}, Record: kindDeclined}
	ownGrant := profile(func(p *Profile) error {
		key, err := own("operator")
		if err != nil {
			return err
		}
		return p.granted(key, richer)
	})
	return []Persona{{
		Name: "own-money", Doc: "signs its own allowance grant",
		Section: "11", Attacks: []string{rowOwnMoney}, Check: "2.5 step 32: the issuer's signature, B4b7",
		Terminal: one(noGrant), Backend: genuine(), prepare: ownGrant, tricks: []trick{obliges()},
	}, {
		Name: "own-money-insists", Doc: "the same, and pays although it was told to decline",
		Section: "11", Attacks: []string{rowOwnMoney}, Check: "5.5 step 3, 9.4 step 9",
		Terminal: one(insists), Backend: fails(9, reasonAllowance), prepare: ownGrant, tricks: []trick{asks(tc), at(stepGenerate, forges(states(nil)))},
	}, {
		Name: "borrowed-grant", Doc: "shows the grant of another phone",
		Section: "11", Attacks: []string{rowOwnMoney}, Check: "2.5 step 31: device id, B4b7", Setting: Setting{Others: 1},
		Terminal: one(noGrant), Backend: genuine(), tricks: []trick{obliges()},
		prepare: func(a *Actor) error {
			grant := a.tools.Others[0].cards[0].Grant
			return a.reprovision(func(p *Profile) error { return replaceGrant(p, grant) })
		},
	}, {
		Name: "grant-not-allowed", Doc: "has a grant, but a certificate without the right to one",
		Section: "11", Attacks: []string{rowOwnMoney}, Check: "2.5 step 31: property b6, B4b7",
		Terminal: one(noGrant), Backend: genuine(), tricks: []trick{obliges()},
		prepare: unfit(func(p *Profile, by channel.SignKey) error {
			return p.certified(by, func(d *cert.Device) { d.Properties &^= cert.OfflineAllowed })
		}),
	}, {
		Name: "grant-expired", Doc: "goes on with the grant of last year",
		Section: "2.5", Attacks: []string{rowOwnMoney}, Check: "2.5 step 33: B4b7",
		Terminal: one(noGrant), Backend: genuine(), tricks: []trick{obliges()},
		prepare: unfit(func(p *Profile, by channel.SignKey) error {
			return p.granted(by, func(g *cert.Grant) { g.ValidFrom[1]--; g.ValidTo[1]-- })
		}),
	}, {
		Name: "grant-swollen-between", Doc: "flips a bit of the encrypted grant", Between: true,
		Section: "11", Attacks: []string{rowOwnMoney}, Check: "2.5 step 32: the issuer's signature, B4b7",
		Terminal: one(noGrant), Backend: genuine(),
		tricks: []trick{nth(4, at(stepRead, alters(flips(-126+22))))},
	}}
}

// foreign is a card whose account and grant are in another currency.
var foreign = unfit(func(p *Profile, by channel.SignKey) error {
	p.Currency = Hex{0x08, 0x40}
	if err := p.put(tag9F42, p.Currency); err != nil {
		return err
	}
	if err := p.granted(by, func(g *cert.Grant) { g.Currency = [2]byte{0x08, 0x40} }); err != nil {
		return err
	}
	return p.certified(by, nil)
})

// limitPersonas spend what they have where, or more than, they may.
func limitPersonas() []Persona {
	return []Persona{{
		Name: "foreign-currency", Doc: "pays offline from an account in another currency",
		Section: "11", Attacks: []string{rowCurrency}, Check: "5.4 B2b3, 2.5 step 34: B4b6",
		Terminal: one(Expect{Result: declined, Reason: reasonCurrency, TVR: [5]byte{1: 0x04, 3: 0x20}, Record: kindDeclined}), Backend: genuine(),
		prepare: foreign, tricks: []trick{obliges()},
	}, {
		Name: "foreign-currency-insists", Doc: "the same, and pays although it was told to decline",
		Section: "11", Attacks: []string{rowCurrency}, Check: "5.5 step 3, 9.4 step 9",
		Terminal: one(insists), Backend: fails(9, reasonAllowance), prepare: foreign,
		tricks: []trick{asks(tc), at(stepGenerate, forges(states(nil)))},
	}, {
		Name: "splitter", Doc: "an honest phone whose owner splits a purchase into many taps",
		Section: "11", Attacks: []string{rowSplit}, Check: "7.4 row 14: max taps, in the phone", Setting: Setting{Sales: grantedTaps + 1},
		Terminal: one(Expect{Result: declined, Reason: reasonSpent, Record: kindDeclined}), Backend: genuine(),
	}, {
		Name: "splitter-broken", Doc: "does not count its taps against the grant",
		Section: "11", Attacks: []string{rowSplit}, Check: "7.3 rule 2: index above max taps, B4b6", Setting: Setting{Sales: grantedTaps + 1},
		Terminal: one(Expect{Result: declined, Reason: reasonPerTap, TVR: [5]byte{3: 0x20}, Record: kindReversal}), Backend: fails(9, reasonAllowance),
		tricks: []trick{obliges()},
	}, {
		Name: "one-too-many", Doc: "an honest phone at a terminal that has stored all it may",
		Section: "11", Attacks: []string{rowSplit}, Check: "5.4 exposure: B4b3", Setting: Setting{Full: true},
		Terminal: one(Expect{Result: declined, Reason: reasonTerminal, TVR: [5]byte{3: 0x04}, Record: kindDeclined}), Backend: genuine(),
	}, {
		Name: "above-per-tap", Doc: "pays more at once than its grant allows",
		Section: "2.5", Attacks: []string{rowOwnMoney}, Check: "2.5 step 35: B4b6", Setting: Setting{AmountMinor: 20_000, Unlocked: true},
		Terminal: one(Expect{Result: declined, Reason: reasonPerTap, TVR: [5]byte{3: 0x20}, Record: kindDeclined}), Backend: genuine(),
		prepare: unfit(func(p *Profile, by channel.SignKey) error {
			return p.granted(by, func(g *cert.Grant) { g.PerTap = [6]byte(tlv.BCD(19_999, 6)) })
		}), tricks: []trick{obliges()},
	}}
}

// grantedTaps is the max taps of the grant that personas expect to have.
const grantedTaps = 4

// statePersonas have a good grant and lie about what is left of it.
func statePersonas() []Persona {
	lies := func(name, doc, check string, s Setting, change func(s *cert.State, d *draft)) Persona {
		return Persona{
			Name: "state-" + name, Doc: doc, Section: "7.3", Attacks: []string{rowOwnMoney}, Check: check + ", B4b6", Setting: s,
			Terminal: one(Expect{Result: declined, Reason: reasonPerTap, TVR: [5]byte{3: 0x20}, Record: kindReversal}),
			Backend:  fails(9, reasonAllowance),
			tricks:   []trick{fromTap(max(s.Sales, 1), at(stepGenerate, forges(states(change))))},
		}
	}
	second := Setting{Sales: 2, Elsewhere: true}
	return []Persona{
		lies("epoch", "names an epoch that is not the grant's", "7.3 rule 1", Setting{}, func(s *cert.State, _ *draft) { s.Epoch++ }),
		lies("index-zero", "counts from nought", "7.3 rule 2", Setting{}, func(s *cert.State, _ *draft) { s.Index = 0 }),
		lies("remaining", "has more left than the grant gave", "7.3 rule 3", Setting{}, func(s *cert.State, _ *draft) { s.Remaining[5]++ }),
		lies("spent-less", "has spent less in the epoch than in this tap", "7.3 rule 4", second, func(s *cert.State, _ *draft) {
			s.Spent, s.Remaining = [6]byte(tlv.BCD(DefaultAmount-1, 6)), plus(s.Spent, s.Remaining, DefaultAmount-1)
		}),
		lies("index-ahead", "has counted more taps than it made", "7.3 rule 5", Setting{}, func(s *cert.State, _ *draft) { s.Index = 2 }),
		lies("chain", "begins its chain elsewhere", "7.3 rule 6", Setting{}, func(s *cert.State, _ *draft) { s.Chain[0] ^= 1 }),
		lies("not-numbers", "gives sums that are no numbers", "7.3: BCD", Setting{}, func(s *cert.State, _ *draft) { s.Spent[0] = 0xAA }),
	}
}

// plus is what remains of spent + remaining when spent is something else.
func plus(spent, remaining [6]byte, now uint64) [6]byte {
	a, _ := tlv.Number(spent[:])
	b, _ := tlv.Number(remaining[:])
	return [6]byte(tlv.BCD(a+b-now, 6))
}

// rollbackPersonas spend the same money twice.
func rollbackPersonas() []Persona {
	repeated := Expect{Result: declined, Reason: reasonRepeated, TVR: [5]byte{3: 0x10}, Record: kindReversal}
	here, there := Setting{Sales: 2}, Setting{Sales: 2, Elsewhere: true}
	whole := rollsBack(nil)
	allowance := rollsBack(func(before, now *CardState) { before.ATC = now.ATC })
	forgets := []trick{fromTap(2, at(stepGenerate, forges(func(d *draft) {
		if d.find(tagDF8B10) < 0 {
			return
		}
		s := d.nextState()
		s.Spent, s.Remaining = [6]byte(tlv.BCD(DefaultAmount, 6)), plus(s.Spent, s.Remaining, DefaultAmount)
		d.set(tagDF8B10, s.Encode())
	})))}
	return []Persona{{
		Name: "rolled-back", Doc: "forgets the last payment, counter and all",
		Section: "11", Attacks: []string{rowRollback}, Check: "5.5 step 8: ATC not rising at this terminal, B4b5", Setting: here,
		Terminal: one(repeated), Backend: fails(8, reasonCounter), power: whole,
	}, {
		Name: "rolled-back-elsewhere", Doc: "the same at a terminal that has not seen it: the issuer finds out and blocks the device",
		Section: "11", Attacks: []string{rowRollback}, Check: "9.4 step 8: same ATC, other evidence", Setting: there,
		Terminal: one(paid), Backend: fails(8, reasonCounter), power: whole,
	}, {
		Name: "allowance-rolled-back", Doc: "forgets what it spent, but not its counter",
		Section: "11", Attacks: []string{rowRollback}, Check: "7.3 rule 7: index not rising, B4b5", Setting: here,
		Terminal: one(repeated), Backend: fails(8, reasonCounter), power: allowance,
	}, {
		Name: "allowance-rolled-back-elsewhere", Doc: "the same at a terminal that has not seen it",
		Section: "11", Attacks: []string{rowRollback}, Check: "9.4 step 8: same epoch and index", Setting: there,
		Terminal: one(paid), Backend: fails(8, reasonCounter), power: allowance,
	}, {
		Name: "spends-nothing", Doc: "counts its taps, and adds nothing to what it spent",
		Section: "7.3", Attacks: []string{rowRollback, rowSplit}, Check: "7.3 rule 7: spent not rising by the amount, B4b5", Setting: here,
		Terminal: one(repeated), Backend: fails(10, reasonAllowance), tricks: forgets,
	}, {
		Name: "spends-nothing-elsewhere", Doc: "the same at a terminal that has not seen it",
		Section: "7.6", Attacks: []string{rowRollback}, Check: "9.4 step 10: spent against the neighbouring tap", Setting: there,
		Terminal: one(paid), Backend: fails(10, reasonAllowance), tricks: forgets,
	}}
}

// honestPersonas keep to the scheme; what is wrong is around them.
func honestPersonas() []Persona {
	return []Persona{{
		Name: "honest", Doc: "pays as it should; the merchant replays the record, or alters it, or takes it to another terminal",
		Section: "11", Attacks: []string{rowMerchant}, Check: "9.4 steps 4, 5, 8 and the posting by transaction id", Harmless: true,
		Terminal: one(paid), Backend: genuine(),
	}, {
		Name: "restricted", Doc: "declines as it should; the merchant claims that it paid",
		Section: "11", Attacks: []string{rowClaim}, Check: "9.4 steps 4 and 5: kind 01 needs CID 40, which is signed",
		Terminal: one(Expect{Result: declined, Reason: reasonRestricted, Record: kindDeclined}), Backend: genuine(),
		prepare: func(a *Actor) error { return a.Block(a.cards[0].ADF, true) },
	}, {
		Name: "overheard", Doc: "pays twice while somebody listens who wants to know it again",
		Section: "11", Attacks: []string{rowTracking}, Check: "4.3, 6.1: encrypted records, fresh keys", Harmless: true, Setting: Setting{Sales: 2},
		Terminal: one(paid), Backend: genuine(),
	}, {
		Name: "revoked", Doc: "a phone that was reported stolen",
		Section: "2.5", Attacks: []string{rowStaleCRL}, Check: "2.5 step 10: B2b4", Setting: Setting{Revoked: true},
		Terminal: one(Expect{Result: declined, Reason: reasonRevoked, TVR: [5]byte{1: 0x08}, Record: kindDeclined}), Backend: genuine(),
	}, {
		Name: "revoked-since", Doc: "a phone that was reported stolen after the terminal's list was made, a month ago",
		Section: "11", Attacks: []string{rowStaleCRL}, Check: "5.4: B4b1", Setting: Setting{CRLAgeDays: 31},
		Terminal: one(Expect{Result: declined, Reason: reasonStale, TVR: [5]byte{3: 0x01}, Record: kindDeclined}), Backend: genuine(),
	}}
}

// refundPersonas want the money of another payment.
func refundPersonas() []Persona {
	s := Setting{Sales: 2, Refund: true, Others: 1}
	other := Expect{Result: declined, Reason: reasonOther, Record: kindDeclined}
	arqcOf := func(edits ...func(*draft)) []trick {
		all := append([]func(*draft){claims(tag9F27, arqc), iad(4, reasonNone)}, edits...)
		return []trick{fromTap(2, at(stepGenerate, forges(all...)))}
	}
	return []Persona{{
		Name: "refund-other-phone", Doc: "an honest phone that is not the one that paid",
		Section: "11", Attacks: []string{rowRefund}, Check: "7.4 row 5, in the phone", Setting: s,
		Terminal: one(other), Backend: genuine(), power: takesOver(2, 0),
	}, {
		Name: "refund-other-phone-lies", Doc: "the same, and it accepts the refund",
		Section: "11", Attacks: []string{rowRefund}, Check: "5.6, 8.2: DF8B0A against the original, in the terminal", Setting: s,
		Terminal: one(other), Backend: genuine(), power: takesOver(2, 0), tricks: arqcOf(),
	}, {
		Name: "refund-copies-reference", Doc: "the same, and it signs the reference that it was shown",
		Section: "11", Attacks: []string{rowRefund}, Check: "the wallet posts to the account of the device: refused as another payer", Setting: s,
		Terminal: one(Expect{Result: online, Record: kindRefund}), Backend: genuine(), power: takesOver(2, 0),
		tricks: arqcOf(func(d *draft) {
			d.set(tagDF8B0A, find(d.x.card.cdol1, d.x.command.Data, tagDF8B24, 16))
		}),
	}}
}
