package phone

import (
	"bytes"
	"fmt"

	"tapkeeper/emv/tlv"
)

// place is an answer that can be malformed, and how.
type place struct {
	name     string
	spoils   func(whole func([]byte) []byte) trick // the answer as it is sent
	inside   func(raw ...byte) trick               // objects added to its contents
	own      []byte                                // an object that is there already, with its value or another
	foreign  []byte                                // an object that belongs to another answer
	short    trick                                 // a known object of a wrong length
	terminal []Expect
}

// malformedPersonas are every rule of scheme 0.1 in every answer.
func malformedPersonas() []Persona {
	var all []Persona
	for _, p := range places() {
		add := func(name, doc string, t trick) {
			all = append(all, Persona{
				Name: "malformed-" + p.name + "-" + name, Doc: "in the answer to " + p.name + ": " + doc, Section: "0.1",
				Attacks: []string{rowTLV}, Check: "0.1", Terminal: p.terminal, Harmless: p.terminal[0] == paid, tricks: []trick{t},
			})
		}
		for _, s := range []struct {
			name, doc string
			change    func([]byte) []byte
		}{
			{"trailing", "a byte after the template", func(b []byte) []byte { return append(b, 0x00) }},
			{"trailing-object", "an object after the template", func(b []byte) []byte { return append(b, 0x9F, 0x7E, 0x00) }},
			{"cut", "the last byte missing", func(b []byte) []byte { return b[:len(b)-1] }},
			{"empty", "nothing", func([]byte) []byte { return nil }},
			{"template", "another template", func(b []byte) []byte { b[0] = 0x6E; return b }},
			{"length-four", "a length of three bytes", func(b []byte) []byte { return longer(b, 0x83, 0x00) }},
			{"length-open", "an indefinite length", func(b []byte) []byte { return append([]byte{b[0], 0x80}, b[2:]...) }},
			{"length-reserved", "length FF", func(b []byte) []byte { return append([]byte{b[0], 0xFF}, b[2:]...) }},
		} {
			add(s.name, s.doc, p.spoils(s.change))
		}
		for _, s := range []struct {
			name, doc string
			raw       []byte
		}{
			{"padding-00", "padding with 00", []byte{0x00, 0x00}},
			{"padding-ff", "padding with FF", []byte{0xFF}},
			{"tag-four", "a tag of four bytes", []byte{0x9F, 0x81, 0x82, 0x03, 0x00}},
			{"tag-cut", "a tag without its end", []byte{0x9F}},
			{"overrun", "a value that leaves its template", []byte{0x9F, 0x7E, 0x7F, 0x00}},
			{"deep", "templates inside templates, one too many", []byte{0x70, 0x08, 0x70, 0x06, 0x70, 0x04, 0x70, 0x02, 0x70, 0x00}},
			{"forbidden-5a", "an account number", []byte{0x5A, 0x04, 0x11, 0x22, 0x33, 0x44}},
			{"forbidden-57", "a track", []byte{0x57, 0x02, 0xD1, 0x00}},
			{"forbidden-5f20", "a name", []byte{0x5F, 0x20, 0x01, 0x41}},
			{"forbidden-9f6b", "another track", []byte{0x9F, 0x6B, 0x01, 0x00}},
			{"forbidden-56", "a first track", []byte{0x56, 0x01, 0x42}},
			{"twice", "a known object twice", p.own},
			{"foreign", "an object of another answer", p.foreign},
		} {
			if s.raw != nil {
				add(s.name, s.doc, p.inside(s.raw...))
			}
		}
		if p.short != nil {
			add("short", "a known object of a wrong length", p.short)
		}
	}
	return all
}

// places are the answers. What is added to the GENERATE AC answer is MACed and
// signed, so that only the form can be what stops it.
func places() []place {
	plain := func(s step, n int) (func(func([]byte) []byte) trick, func(...byte) trick) {
		spoils := func(change func([]byte) []byte) trick { return nth(n, at(s, alters(change))) }
		return spoils, func(raw ...byte) trick {
			return spoils(func(b []byte) []byte { return longer(b, 0, 0, raw...) })
		}
	}
	ppse, inPPSE := plain(stepPPSE, 1)
	fci, inFCI := plain(stepSelect, 1)
	gpo, inGPO := plain(stepGPO, 1)
	first, inFirst := plain(stepRead, 1)
	second, _ := plain(stepRead, 2)
	generate, inGenerate := plain(stepGenerate, 1)
	inSecond := func(raw ...byte) trick {
		return nth(2, at(stepRead, reseals(func(b []byte) []byte { return append(b, raw...) })))
	}
	signed := func(raw ...byte) trick {
		if _, err := tlv.ParseFlat(raw); err != nil {
			return inGenerate(raw...) // not even objects: it cannot be signed as such
		}
		return nth(1, at(stepGenerate, forges(adds(raw...))))
	}
	noWallet := one(Expect{Result: ended, Reason: reasonNoWallet})
	return []place{
		{name: "ppse", spoils: ppse, inside: inPPSE, terminal: one(paid)},
		{name: "select", spoils: fci, inside: inFCI, terminal: noWallet,
			own: []byte{0x50, 0x01, 0x41}, foreign: []byte{0x82, 0x02, 0xC1, 0x09}, short: fci(becomes(tag9F2C, 0x01, 0xC1, 0xE1))},
		{name: "gpo", spoils: gpo, inside: inGPO, terminal: one(garbled),
			own: []byte{0x82, 0x02, 0xC1, 0x09}, foreign: []byte{0x9F, 0x36, 0x02, 0x00, 0x01}, short: gpo(becomes(tag94, 0x08, 0x01, 0x01))},
		{name: "record", spoils: first, inside: inFirst, terminal: one(garbled),
			own: []byte{0x8F, 0x01, 0x01}, foreign: []byte{0x82, 0x02, 0xC1, 0x09}, short: first(becomes(tag8F, 0x01, 0x01))},
		{name: "encrypted", spoils: second, inside: inSecond, terminal: one(garbled),
			own: []byte{0x9F, 0x08, 0x02, 0x00, 0x01}, foreign: []byte{0x9F, 0x36, 0x02, 0x00, 0x01}, short: nth(2, at(stepRead, reseals(becomes(tag9F42, 0x56))))},
		{name: "generate", spoils: generate, inside: signed, terminal: one(garbled),
			own: []byte{0x9F, 0x36, 0x02, 0x00, 0x01}, foreign: []byte{0x94, 0x04, 0x08, 0x01, 0x01, 0x00}, short: nth(1, at(stepGenerate, forges(claims(tag9F8102, 0x00, 0x00))))},
	}
}

// longer writes a template again with more inside, or with another form of its
// length (82, 83) in front of it.
func longer(b []byte, form, high byte, raw ...byte) []byte {
	nodes, err := tlv.ParseFlat(b)
	if err != nil || len(nodes) != 1 {
		return b
	}
	value := append(bytes.Clone(nodes[0].Value), raw...)
	n := len(value)
	switch form {
	case 0x82:
		return append([]byte{b[0], 0x82, byte(n >> 8), byte(n)}, value...)
	case 0x83:
		return append([]byte{b[0], 0x83, high, byte(n >> 8), byte(n)}, value...)
	}
	return tlv.Append(nil, nodes[0].Tag, value)
}

// chainPersonas send in parts what fits into one answer, or far too much, or odd
// forms that the scheme allows.
func chainPersonas() []Persona {
	var all []Persona
	add := func(name, doc, check string, e Expect, tricks ...trick) {
		all = append(all, Persona{Name: name, Doc: doc, Section: "0.1", Attacks: []string{rowTLV}, Check: check,
			Terminal: one(e), Harmless: e == paid, tricks: tricks})
	}
	for _, row := range []struct {
		step  step
		over  Expect // what comes of too much
		small int    // bytes a part, for more parts than nine
	}{
		{stepPPSE, paid, 5}, {stepSelect, Expect{Result: ended, Reason: reasonNoWallet}, 6}, {stepGPO, garbled, 8}, {stepRead, garbled, 13},
	} {
		s := string(row.step)
		add("chained-"+s, "gives the answer to "+s+" in parts (61xx)", "5.1", paid, chained(row.step, 40))
		add("wrong-le-"+s, "wants another Le at "+s+" (6Cxx)", "5.1", paid, nth(1, at(row.step, status(0x6CFF))))
		add("wrong-le-twice-"+s, "wants another Le at "+s+" again and again", "5.1: the second is a status word", row.over, at(row.step, status(0x6CFF)))
		add("oversized-"+s, "gives more than 1024 bytes at "+s+", which would be in order otherwise", "5.1", row.over, oversized(row.step)...)
		add("many-parts-"+s, "gives its answer to "+s+" in more than nine parts", "5.1: over 8 GET RESPONSEs", row.over, chained(row.step, row.small))
	}
	add("chained-generate", "gives its decision in parts", "5.1", paid, chained(stepGenerate, 90))
	add("wrong-le-generate", "wants another Le at GENERATE AC, and has not executed it", "5.1", paid, at(stepGenerate, wrongLe))
	lostOnce := func(name, doc string, tricks ...trick) {
		for n := range tricks {
			tricks[n] = inTap(1, tricks[n])
		}
		all = append(all, Persona{Name: name, Doc: doc, Section: "0.1", Attacks: []string{rowTLV, rowTear},
			Check: "5.1: as a lost answer", Harmless: true, Terminal: []Expect{unknown, paid}, tricks: tricks})
	}
	lostOnce("endless-generate", "pays, and never stops giving its decision", endless(stepGenerate, 16))
	lostOnce("many-parts-generate", "pays, and gives its decision in more than nine parts", chained(stepGenerate, 18))
	lostOnce("oversized-generate", "pays, and gives a decision of more than 1024 bytes, authentic", chained(stepGenerate, 250), at(stepGenerate, forges(adds(bulk()...))))
	all = append(all, Persona{Name: "one-byte", Doc: "answers GPO with one byte", Section: "0.1",
		Attacks: []string{rowTLV}, Check: "0.1 rule 10: an L1 error", Harmless: true, Terminal: []Expect{again, paid},
		tricks: []trick{inTap(1, at(stepGPO, says(0x90)))}})
	for _, s := range []step{stepSelect, stepGPO, stepRead} {
		add("long-length-"+string(s), fmt.Sprintf("writes the length of %s in three bytes", s), "0.1 rule 2: accepted", paid,
			at(s, alters(func(b []byte) []byte { return longer(b, 0x82, 0) })))
	}
	unknownObject := []byte{0x9F, 0x7E, 0x02, 0xCA, 0xFE, 0x9F, 0x7E, 0x00}
	add("unknown-objects", "adds objects that nobody knows, twice, to select and GPO", "0.1 rules 4 and 6: skipped", paid,
		when(func(x *exchange) bool { return x.step == stepSelect || x.step == stepGPO }, alters(func(b []byte) []byte { return longer(b, 0, 0, unknownObject...) })))
	add("unknown-objects-signed", "adds them to its decision, and signs them", "0.1 rule 6: they stay in what is MACed and signed", paid,
		at(stepGenerate, forges(adds(unknownObject...))))
	all = append(all, Persona{Name: "unknown-objects-between", Doc: "they are added to the decision on its way", Section: "0.1", Between: true,
		Attacks: []string{rowTLV}, Check: "5.5 step 2 and 4: MAC and signature over the bytes as sent", Terminal: one(Expect{Result: ended, Reason: reasonMAC, Record: kindSuspect}),
		Backend: fails(4, reasonSignature),
		tricks:  []trick{at(stepGenerate, alters(func(b []byte) []byte { return longer(b, 0, 0, unknownObject...) }))}})
	add("terminal-objects", "sends the terminal's own objects back", "0.1 rule 5: unknown tags", paid,
		at(stepGPO, alters(func(b []byte) []byte { return longer(b, 0, 0, 0x9F, 0x02, 0x01, 0x00, 0x95, 0x00) })))
	return all
}

// bulk is an object that nobody knows and that makes any answer too long.
func bulk() []byte { return tlv.Append(nil, 0x9F7E, bytes.Repeat([]byte{0xCA}, 1000)) }

// oversized gives a good answer, with bulk inside, in parts.
func oversized(s step) []trick {
	return []trick{chained(s, 250), nth(1, at(s, alters(func(b []byte) []byte { return longer(b, 0, 0, bulk()...) })))}
}
