package emv

import (
	"bytes"
	"sort"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
)

// selectLimit is the wait for SELECT (scheme 5.9).
const selectLimit = 1000 * time.Millisecond

// candidate is an application that the phone's directory offers.
type candidate struct {
	name     []byte
	aid      int // index of the configured AID
	priority byte
}

// selection is where Start C stands.
type selection struct {
	list   []candidate // of the directory, not yet tried
	direct bool        // no candidate there: the configured AIDs themselves
	next   int         // index of the next configured AID
	again  bool        // the AID before next has answered, and may have another occurrence
}

// ppse asks for the directory (scheme 3.4.1).
func (x *activation) ppse() Step {
	return x.send(&exchange{
		name: "SELECT PPSE", command: apdu.Select([]byte(apdu.PPSE), false), limit: selectLimit,
		done: func(sw apdu.SW, data []byte) Step {
			if sw == apdu.OK {
				x.names.list = x.candidates(data)
			}
			return x.firstName()
		},
		over: x.firstName,
	})
}

func (x *activation) firstName() Step {
	x.names.direct = len(x.names.list) == 0
	return x.selectNext()
}

// candidates reads the directory (scheme 3.4.1). What is wrong with an entry
// costs that entry; what is wrong with the answer costs all of them.
func (x *activation) candidates(answer []byte) []candidate {
	root, err := tlv.ParseOne(answer)
	if err != nil || root.Tag != 0x6F {
		return nil
	}
	var list []candidate
	sound := tlv.Walk([]tlv.Node{root}, func(n tlv.Node, _ int) bool {
		if n.Tag == 0x61 {
			if c, ok := x.candidate(n.Kids); ok {
				list = append(list, c)
			}
		}
		return !dict.Forbidden(n.Tag)
	})
	if !sound {
		return nil
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].priority < list[j].priority })
	if p := x.a.pending; p != nil { // scheme 3.4.1: the pending ADF goes first
		sort.SliceStable(list, func(i, j int) bool {
			return bytes.Equal(list[i].name, p.ADF) && !bytes.Equal(list[j].name, p.ADF)
		})
	}
	return list
}

func (x *activation) candidate(kids []tlv.Node) (candidate, bool) {
	c := candidate{priority: lowestPriority}
	seen := map[tlv.Tag]bool{}
	for _, n := range kids {
		switch n.Tag {
		case 0x4F, 0x87, 0x9F2A:
			if seen[n.Tag] {
				return c, false
			}
			seen[n.Tag] = true
		}
		switch n.Tag {
		case 0x4F:
			c.name = n.Value
		case 0x87:
			if len(n.Value) > 0 && n.Value[0]&0x0F != 0 {
				c.priority = n.Value[0] & 0x0F
			}
		case 0x9F2A:
			if len(n.Value) == 0 || n.Value[0] != 0x00 { // another kernel (scheme 1.4)
				return c, false
			}
		}
	}
	if len(c.name) < 5 || len(c.name) > 16 {
		return c, false
	}
	for i := range x.a.terminal.AIDs {
		if x.a.flags[i].allowed && bytes.HasPrefix(c.name, x.a.terminal.AIDs[i].AID) {
			c.aid = i
			return c, true
		}
	}
	return c, false
}

// lowestPriority comes after the fifteen that 87 can express.
const lowestPriority = 16

// selectNext is final selection of the next candidate, or SELECT_NEXT (scheme
// 3.4.4, 3.4.5).
func (x *activation) selectNext() Step {
	x.app = nil
	s := &x.names
	if !s.direct {
		if len(s.list) == 0 {
			return x.noApplication()
		}
		c := s.list[0]
		s.list = s.list[1:]
		return x.selectName(c.name, c.aid, false)
	}
	if s.again {
		return x.selectName(x.a.terminal.AIDs[s.next-1].AID, s.next-1, true)
	}
	for s.next < len(x.a.terminal.AIDs) {
		i := s.next
		s.next++
		if x.a.flags[i].allowed {
			return x.selectName(x.a.terminal.AIDs[i].AID, i, false)
		}
	}
	return x.noApplication()
}

func (x *activation) noApplication() Step {
	return x.final(ended(MsgOtherCard, ReasonNoWallet, "no application left to select"))
}

func (x *activation) selectName(name []byte, aid int, next bool) Step {
	return x.send(&exchange{
		name: "SELECT", command: apdu.Select(name, next), limit: selectLimit,
		done: func(sw apdu.SW, data []byte) Step {
			x.names.again = sw == apdu.OK
			if sw != apdu.OK {
				return x.selectNext()
			}
			return x.selected(aid, data)
		},
		over: func() Step {
			x.names.again = false // as a status word other than 9000 (scheme 5.1)
			return x.selectNext()
		},
	})
}

// selected judges the FCI (scheme 3.4.4) and goes on to S2 (scheme 5.3).
func (x *activation) selected(aid int, fci []byte) Step {
	app := &application{
		aid: &x.a.terminal.AIDs[aid], flags: x.a.flags[aid], objects: make(objects, 0, someObjects),
	}
	root, err := tlv.ParseOne(fci)
	if err != nil || root.Tag != 0x6F || app.objects.take([]tlv.Node{root}, origin{source: dict.FromFCI}) != nil {
		return x.selectNext()
	}
	adf, qualifier := app.objects.value(0x84), app.objects.value(0x9F2C)
	if !app.objects.has(0x84, 0x9F38, 0x9F2C) || !bytes.HasPrefix(qualifier, []byte{0x01, 0xC1, 0xE1}) {
		return x.selectNext()
	}
	app.tvr.setIf(!bytes.HasPrefix(adf, app.aid.AID), bitAIDMismatch)
	x.app = app
	if p := x.a.pending; p != nil && bytes.Equal(adf, p.ADF) && qualifier[3]&featureRecovery != 0 {
		return x.recover(p)
	}
	return x.gpo()
}

// featureRecovery is b6 of 9F2C byte 4 (scheme 3.5).
const featureRecovery = 0x20
