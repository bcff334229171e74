package phone

import (
	"fmt"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
)

// statusPersonas answer each step with each status word of scheme 5.2.
func statusPersonas() []Persona {
	noWallet := one(Expect{Result: ended, Reason: reasonNoWallet})
	bad := one(garbled)
	unlock := []Expect{{Result: tryAgain, Reason: reasonUnlock}, paid}
	var all []Persona
	for _, row := range []struct {
		step     step
		words    []apdu.SW
		terminal []Expect
	}{
		{stepPPSE, []apdu.SW{0x6A82, 0x6A81, 0x6283, 0x6F00, 0x6D00}, one(paid)},
		{stepSelect, []apdu.SW{0x6A82, 0x6A81, 0x6283, 0x6F00, 0x6999}, noWallet},
		{stepGPO, []apdu.SW{apdu.CannotTap}, one(Expect{Result: otherWay, Reason: reasonNoWallet})},
		{stepGPO, []apdu.SW{apdu.NotSatisfied}, noWallet},
		{stepGPO, []apdu.SW{apdu.SeePhone}, unlock},
		{stepGPO, []apdu.SW{apdu.NotSupported}, one(Expect{Result: ended, Reason: reasonOutdated})},
		{stepGPO, []apdu.SW{apdu.WrongLength, apdu.WrongData, 0x6283, 0x6F00, 0x9001}, bad},
		{stepERRD, []apdu.SW{apdu.NotSatisfied, apdu.WrongLength, 0x6283, 0x6F00, 0x610C, 0x6C0C}, bad},
		{stepRead, []apdu.SW{apdu.RecordNotFound, apdu.NotSatisfied, 0x6283, 0x6F00}, bad},
		{stepGenerate, []apdu.SW{apdu.SeePhone}, unlock},
		{stepGenerate, []apdu.SW{apdu.NotSatisfied}, one(Expect{Result: ended, Reason: reasonPhone})},
		{stepGenerate, []apdu.SW{apdu.WrongParameters, apdu.WrongLength, 0x6283, 0x6F00, 0x9001}, bad},
		{stepRecover, []apdu.SW{apdu.ReferenceMissing, apdu.NotSatisfied, 0x6283, 0x6F00, 0x6D00}, []Expect{unknown, noProof}},
	} {
		for _, sw := range row.words {
			p := Persona{
				Name: fmt.Sprintf("status-%s-%v", row.step, sw), Doc: fmt.Sprintf("answers %v at %s", sw, row.step), Section: "5.2",
				Check: "5.2", Terminal: row.terminal, Harmless: row.terminal[len(row.terminal)-1] == paid,
				tricks: []trick{inTap(1, at(row.step, status(sw)))},
			}
			if row.step == stepRecover {
				p.tricks, p.Backend = []trick{inTap(1, at(stepGenerate, tears())), at(stepRecover, status(sw))}, genuine()
				p.Attacks = []string{rowTear}
			}
			all = append(all, p)
		}
	}
	return append(all, Persona{
		Name: "commits-and-denies", Doc: "pays, and says that it did not: only its owner loses, until the issuer releases the tap",
		Section: "5.2", Attacks: []string{rowTear}, Check: "5.2: the word counts, nothing is sold",
		Terminal: one(Expect{Result: ended, Reason: reasonPhone}), tricks: []trick{at(stepGenerate, denies(apdu.NotSatisfied))},
	}, Persona{
		Name: "commits-and-wants-unlock", Doc: "pays, says that it did not, and declines the next tap as a repetition",
		Section: "5.2", Attacks: []string{rowTear}, Check: "5.2, 7.4 row 2",
		Terminal: []Expect{{Result: tryAgain, Reason: reasonUnlock}, {Result: declined, Reason: reasonDuplicate, Record: kindDeclined}},
		Backend:  genuine(), tricks: []trick{inTap(1, at(stepGenerate, denies(apdu.SeePhone)))},
	})
}

// limits are the waits of scheme 5.9.
var limits = []struct {
	step  step
	limit time.Duration
}{
	{stepPPSE, 1000 * time.Millisecond}, {stepSelect, 1000 * time.Millisecond}, {stepGPO, 1500 * time.Millisecond},
	{stepERRD, 500 * time.Millisecond}, {stepRead, 1000 * time.Millisecond}, {stepGenerate, 2000 * time.Millisecond},
}

// late is beyond a limit by more than any clock's error.
const late = 50 * time.Millisecond

// latePersonas answer after the limits of scheme 5.9.
func latePersonas() []Persona {
	var all []Persona
	add := func(name, doc string, terminal []Expect, tricks ...trick) {
		all = append(all, Persona{Name: name, Doc: doc, Section: "5.9", Check: "5.9",
			Terminal: terminal, Harmless: terminal[len(terminal)-1] == paid, tricks: tricks})
	}
	for _, l := range limits {
		first := again
		if l.step == stepGenerate {
			first = unknown
		}
		add("late-"+string(l.step), fmt.Sprintf("answers %s after the limit", l.step), []Expect{first, paid},
			inTap(1, nth(1, at(l.step, delay(l.limit+late)))))
	}
	recoverLimit := limits[len(limits)-1].limit
	add("late-recover", "answers RECOVER after the limit", []Expect{unknown, unknown, paid},
		inTap(1, at(stepGenerate, tears())), inTap(2, at(stepRecover, delay(recoverLimit+late))))
	add("late-more-read", "is late with the second part of a record", []Expect{again, paid},
		inTap(1, at(stepMore, delay(time.Second+late))), inTap(1, chained(stepRead, 100)))
	add("late-more-generate", "is late with the second part of its answer", []Expect{unknown, paid},
		inTap(1, at(stepMore, delay(recoverLimit+late))), inTap(1, chained(stepGenerate, 100)))
	slow := func(x *exchange, next func() []byte) []byte {
		for _, l := range limits {
			if l.step == x.step {
				return delay(l.limit-late)(x, next)
			}
		}
		return next()
	}
	but := func(s step, t trick) trick { return when(func(x *exchange) bool { return x.step != s }, t) }
	// The second record, which a terminal would stumble over, must not be asked for any more.
	add("slow-tap", "answers each command in time, and the whole tap is too long", []Expect{again, paid},
		inTap(1, nth(2, at(stepRead, status(swInternal)))), inTap(1, but(stepERRD, slow)))
	add("slow-tap-last-record", "uses up the tap's time with the last record, before the pending record is stored",
		[]Expect{again, paid}, inTap(1, when(func(x *exchange) bool {
			return x.step == stepPPSE || x.step == stepSelect || x.step == stepGPO || x.step == stepRead && x.nth == 4
		}, slow)))
	add("slow-generate", "uses up the tap's time with GENERATE AC, which is not cut short", one(paid), inTap(1, when(func(x *exchange) bool {
		return x.step == stepSelect || x.step == stepGPO || x.step == stepGenerate
	}, slow)), chained(stepGenerate, 100))
	add("never-in-time", "is always too slow", []Expect{again, again, again, again, {Result: ended, Reason: reasonTooEarly}},
		at(stepGPO, delay(limits[2].limit+late)))
	return all
}

// tearPersonas leave the field before or after a command (scheme 8.5, 8.6).
func tearPersonas() []Persona {
	var all []Persona
	add := func(name, doc, section string, terminal []Expect, tricks ...trick) {
		all = append(all, Persona{Name: name, Doc: doc, Section: section, Attacks: []string{rowTear}, Check: section,
			Terminal: terminal, Harmless: terminal[len(terminal)-1] == paid, tricks: tricks})
	}
	for _, l := range limits {
		count, section, first := 1, "8.5", again
		switch l.step {
		case stepRead:
			count = 4
		case stepGenerate:
			section, first = "8.6", unknown
		}
		for n := range count {
			here := func(t trick) trick { return inTap(1, nth(n+1, at(l.step, t))) }
			name := string(l.step)
			if count > 1 {
				name += fmt.Sprint("-", n+1)
			}
			add("leaves-before-"+name, "goes before "+name+" reaches it", section, []Expect{first, paid}, here(leaves()))
			add("leaves-after-"+name, "goes before its answer to "+name+" is heard", section, []Expect{first, paid}, here(tears()))
		}
	}
	gone := at(stepGenerate, tears())
	add("mute", "never lets its decision be heard", "8.6",
		[]Expect{unknown, unknown, unknown, unknown, {Result: undetermined, Reason: reasonUnknown}}, gone, at(stepRecover, tears()))
	add("restless", "never stays long enough", "8.5",
		[]Expect{again, again, again, again, {Result: ended, Reason: reasonTooEarly}}, at(stepGPO, leaves()))
	return all
}

// recoverPersonas answer RECOVER after a torn GENERATE AC (scheme 8.6).
func recoverPersonas() []Persona {
	var all []Persona
	torn := inTap(1, at(stepGenerate, tears()))
	add := func(p Persona, tricks ...trick) {
		p.Section, p.Attacks = "8.6", []string{rowTear}
		p.Harmless = p.Terminal[len(p.Terminal)-1] == paid
		p.tricks = append([]trick{torn}, tricks...)
		all = append(all, p)
	}
	recovered := []Expect{unknown, paid}
	lost := []Expect{unknown, noProof}
	altered := func(change func([]byte) []byte) trick { return at(stepRecover, alters(change)) }
	add(Persona{Name: "recover", Doc: "hands out the lost answer", Check: "8.6.4", Terminal: recovered, Backend: genuine()})
	add(Persona{Name: "recover-chained", Doc: "hands it out in parts", Check: "5.1, 8.6.4", Terminal: recovered, Backend: genuine()}, chained(stepRecover, 90))
	add(Persona{Name: "recover-chain-torn", Doc: "goes between the parts", Check: "8.6.6", Terminal: []Expect{unknown, unknown, paid}, Backend: genuine()},
		inTap(2, at(stepMore, leaves())), inTap(2, chained(stepRecover, 90)))
	add(Persona{Name: "recover-torn", Doc: "goes again while it is asked", Check: "8.6.6", Terminal: []Expect{unknown, unknown, paid}, Backend: genuine()},
		inTap(2, at(stepRecover, tears())))
	add(Persona{Name: "recover-altered", Doc: "hands out another answer", Check: "8.6.4: steps 1 to 3 of 5.5, then as 6A88", Terminal: lost, Backend: genuine()},
		altered(edits(tag9F26, flips(0))))
	add(Persona{Name: "recover-spoiled", Doc: "spoils the signature of the lost answer", Check: "5.5 step 4",
		Terminal: []Expect{unknown, {Result: declined, Reason: reasonSignature, TVR: [5]byte{0: 0x02}, Record: kindReversal}}, Backend: fails(4, reasonSignature)},
		altered(edits(tag9F4B, flips(-1))))
	add(Persona{Name: "recover-cut", Doc: "hands out half of it", Check: "8.6.4, as 6A88", Terminal: lost, Backend: genuine()},
		altered(func(b []byte) []byte { return b[:len(b)/2] }))
	add(Persona{Name: "recover-empty", Doc: "says 9000 and nothing else", Check: "8.6.4, as 6A88", Terminal: lost, Backend: genuine()}, at(stepRecover, says(0x90, 0x00)))
	add(Persona{Name: "recover-endless", Doc: "never stops handing out", Check: "5.1: over 8 GET RESPONSEs, as 6A88", Terminal: lost, Backend: genuine()}, inTap(2, endless(stepRecover, 16)))
	add(Persona{Name: "recover-many-parts", Doc: "hands it out in more than nine parts", Check: "5.1, as 6A88", Terminal: lost, Backend: genuine()}, chained(stepRecover, 18))
	add(Persona{Name: "recover-oversized", Doc: "hands out more than 1024 bytes", Check: "5.1, as 6A88", Terminal: lost, Backend: genuine()}, inTap(2, endless(stepRecover, 250)))
	other := func(name, doc string, n int) {
		add(Persona{Name: name, Doc: doc, Check: "8.6.5: normal flow, the first answer is abandoned", Terminal: recovered, Backend: genuine(),
			Setting: Setting{Others: n}, power: takesOver(2, n-1)})
	}
	other("recover-other-phone", "another phone is held to the reader instead", 1)
	other("recover-other-card", "another phone, with a card of another name", 2)
	add(Persona{Name: "recover-not-offered", Doc: "has no recovery to offer", Check: "8.6.5", Terminal: lost, Backend: genuine(),
		prepare: unfit(func(p *Profile, by channel.SignKey) error {
			p.Qualifier = append(Hex(nil), p.Qualifier...)
			p.Qualifier[3] &^= 0x20
			return p.certified(by, nil)
		})})
	add(Persona{Name: "recover-pays-again", Doc: "has forgotten its answer, and pays a second time: only its owner loses", Check: "7.4 row 2 is the phone's; the issuer releases the abandoned tap",
		Terminal: recovered, Backend: genuine(), power: func(a *Actor) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.state.Cards[0].Answers = nil
		}})
	return all
}
