package phone

import (
	"bytes"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// step names an exchange of scheme 5.1.
type step string

const (
	stepPPSE     step = "ppse"
	stepSelect   step = "select"
	stepGPO      step = "gpo"
	stepERRD     step = "errd"
	stepRead     step = "read"
	stepGenerate step = "generate"
	stepRecover  step = "recover"
	stepMore     step = "more" // GET RESPONSE
	stepOther    step = "other"
)

// exchange is one command on its way through the tricks.
type exchange struct {
	a       *Actor
	step    step
	nth     int // of this step in this tap, from 1
	tap     int
	command apdu.Command
	raw     []byte // as it came from the reader
	session *session
	counter uint16 // CMC before the phone saw the command
	keys    channel.Session
	card    *card
	genuine []byte // what the phone itself answered
	slept   bool
}

// trick is one habit of a persona. It may change the command, ask the phone or
// not, and change the answer; nil leaves the field.
type trick func(x *exchange, next func() []byte) []byte

func newExchange(a *Actor, raw []byte) *exchange {
	x := &exchange{a: a, tap: a.tap, raw: bytes.Clone(raw), step: stepOther}
	if c, err := apdu.ParseCommand(x.raw); err == nil {
		c.Data = bytes.Clone(c.Data)
		x.command = c
		x.step = stepOf(c)
	}
	a.count[x.step]++
	x.nth = a.count[x.step]
	w := a.turn
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tap.selected >= 0 {
		x.card = w.cards[w.tap.selected]
	}
	if s := w.tap.session; s != nil {
		x.session, x.counter, x.keys = s, s.counter, s.keys
	}
	return x
}

func stepOf(c apdu.Command) step {
	switch c.INS {
	case apdu.InsSelect:
		if string(c.Data) == apdu.PPSE {
			return stepPPSE
		}
		return stepSelect
	case apdu.InsGPO:
		return stepGPO
	case apdu.InsERRD:
		return stepERRD
	case apdu.InsReadRecord:
		return stepRead
	case apdu.InsGenerateAC:
		return stepGenerate
	case apdu.InsRecover:
		return stepRecover
	case apdu.InsGetResponse:
		return stepMore
	}
	return stepOther
}

// play runs the tricks from the reader's side inwards; behind the last one is the phone.
func (x *exchange) play(tricks []trick) []byte {
	if len(tricks) == 0 {
		x.genuine = x.a.turn.Transmit(x.command.Bytes())
		return x.genuine
	}
	return tricks[0](x, func() []byte { return x.play(tricks[1:]) })
}

// Where and when.

func at(s step, t trick) trick {
	return when(func(x *exchange) bool { return x.step == s }, t)
}

func inTap(tap int, t trick) trick {
	return when(func(x *exchange) bool { return x.tap == tap }, t)
}

func fromTap(tap int, t trick) trick {
	return when(func(x *exchange) bool { return x.tap >= tap }, t)
}

func nth(n int, t trick) trick {
	return when(func(x *exchange) bool { return x.nth == n }, t)
}

func when(fits func(*exchange) bool, t trick) trick {
	return func(x *exchange, next func() []byte) []byte {
		if !fits(x) {
			return next()
		}
		return t(x, next)
	}
}

// What.

// status answers a word and does nothing.
func status(sw apdu.SW) trick {
	return func(*exchange, func() []byte) []byte { return apdu.Response{SW: sw}.Bytes() }
}

// denies lets the phone do it, and says that it did not.
func denies(sw apdu.SW) trick {
	return func(_ *exchange, next func() []byte) []byte { next(); return apdu.Response{SW: sw}.Bytes() }
}

// delay answers late; the phone has done it all the same.
func delay(d time.Duration) trick {
	return func(x *exchange, next func() []byte) []byte {
		answer := next()
		x.slept = true
		x.a.tools.Sleep(d)
		return answer
	}
}

// leaves goes before the command is carried out, tears after it.
func leaves() trick { return func(*exchange, func() []byte) []byte { return nil } }

func tears() trick {
	return func(_ *exchange, next func() []byte) []byte { next(); return nil }
}

// says replaces the whole answer.
func says(answer ...byte) trick {
	return func(*exchange, func() []byte) []byte { return bytes.Clone(answer) }
}

// alters changes the data of a good answer.
func alters(change func(data []byte) []byte) trick {
	return func(_ *exchange, next func() []byte) []byte {
		r, err := apdu.ParseResponse(next())
		if err != nil || r.SW != apdu.OK {
			return r.Bytes()
		}
		return apdu.Response{Data: change(bytes.Clone(r.Data)), SW: apdu.OK}.Bytes()
	}
}

// alterCommand changes a command before the phone sees it.
func alterCommand(change func(c *apdu.Command)) trick {
	return func(x *exchange, next func() []byte) []byte {
		change(&x.command)
		return next()
	}
}

// chained hands out the answer to step s in parts of n bytes (scheme 5.1).
func chained(s step, n int) trick {
	return func(x *exchange, next func() []byte) []byte {
		rest := x.a.rest
		switch x.step {
		case s:
			r, err := apdu.ParseResponse(next())
			if err != nil || r.SW != apdu.OK {
				return r.Bytes()
			}
			rest = r.Data
		case stepMore:
		default:
			return next()
		}
		now := min(n, len(rest))
		x.a.rest = rest[now:]
		if left := len(x.a.rest); left > 0 {
			return apdu.Response{Data: rest[:now], SW: 0x6100 | apdu.SW(min(left, n))}.Bytes()
		}
		return apdu.Response{Data: rest[:now], SW: apdu.OK}.Bytes()
	}
}

// endless carries out step s, and then offers more whatever is fetched; each
// part has n bytes.
func endless(s step, n int) trick {
	return when(func(x *exchange) bool { return x.step == s || x.step == stepMore },
		func(x *exchange, next func() []byte) []byte {
			if x.step == s {
				next()
			}
			return apdu.Response{Data: bytes.Repeat([]byte{0x77}, n), SW: 0x6100}.Bytes()
		})
}

// wrongLe asks for the command once more with another Le (scheme 5.1).
func wrongLe(x *exchange, next func() []byte) []byte {
	if !x.a.asked {
		x.a.asked = true
		return apdu.Response{SW: 0x6CFF}.Bytes()
	}
	return next()
}

// replays answers as in an earlier tap: its nth exchange of the same step.
func replays(tap int) trick {
	return func(x *exchange, next func() []byte) []byte {
		n := 0
		for _, old := range x.a.tape[tap-1] {
			if old.step != x.step {
				continue
			}
			if n++; n == x.nth {
				return bytes.Clone(old.answer)
			}
		}
		return next()
	}
}

// replaysAs answers with what step s was answered in an earlier tap.
func replaysAs(s step, tap int) trick {
	return func(x *exchange, next func() []byte) []byte {
		for _, old := range x.a.tape[tap-1] {
			if old.step == s {
				return bytes.Clone(old.answer)
			}
		}
		return next()
	}
}

// rewrite writes data again with edit's bytes in place of every object that is
// not a template; the templates' lengths follow.
func rewrite(data []byte, edit func(tlv.Node) []byte) []byte {
	nodes, err := tlv.Parse(data)
	if err != nil {
		return data
	}
	return rewriteNodes(nodes, edit)
}

func rewriteNodes(nodes []tlv.Node, edit func(tlv.Node) []byte) []byte {
	var out []byte
	for _, n := range nodes {
		if tlv.Template(n.Tag) {
			out = tlv.Append(out, n.Tag, rewriteNodes(n.Kids, edit))
		} else {
			out = append(out, edit(n)...)
		}
	}
	return out
}

// edits rewrites the value of one object.
func edits(tag tlv.Tag, change func(value []byte) []byte) func([]byte) []byte {
	return func(data []byte) []byte {
		return rewrite(data, func(n tlv.Node) []byte {
			if n.Tag != tag {
				return n.Raw
			}
			return tlv.Append(nil, tag, change(bytes.Clone(n.Value)))
		})
	}
}

// becomes replaces the value of one object, drops removes it.
func becomes(tag tlv.Tag, value ...byte) func([]byte) []byte {
	return edits(tag, func([]byte) []byte { return value })
}

func drops(tag tlv.Tag) func([]byte) []byte {
	return func(data []byte) []byte {
		return rewrite(data, func(n tlv.Node) []byte {
			if n.Tag == tag {
				return nil
			}
			return n.Raw
		})
	}
}

// flips inverts the last bit of a byte, counted from the end when negative.
func flips(i int) func([]byte) []byte {
	return func(b []byte) []byte {
		if i < 0 {
			i += len(b)
		}
		b[i] ^= 1
		return b
	}
}

// reseals changes the plain contents of the encrypted records; only a phone
// with the session key can do that (scheme 6.2).
func reseals(change func(contents []byte) []byte) trick {
	return func(x *exchange, next func() []byte) []byte {
		r, err := apdu.ParseResponse(next())
		if err != nil || r.SW != apdu.OK || x.session == nil {
			return r.Bytes()
		}
		outer, err := tlv.ParseOne(r.Data)
		if err != nil || outer.Tag != tagDA {
			return r.Bytes()
		}
		plain := channel.CTR(x.keys.SKc, x.counter, outer.Value)
		sealed := channel.CTR(x.keys.SKc, x.counter, change(plain))
		return apdu.Response{Data: tlv.Append(nil, tagDA, sealed), SW: apdu.OK}.Bytes()
	}
}
