package emv

import (
	"crypto/ecdh"
	"fmt"
	"io"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
)

// gpoLimit is the wait for GET PROCESSING OPTIONS (scheme 5.9).
const gpoLimit = 1500 * time.Millisecond

// kernelQualifier is 9F2B (scheme 4.1): version, features, suites.
var kernelQualifier = []byte{0x01, 0xF0, 0xC1, 0xE1, 0, 0, 0, 0}

// Bits of the AIP (scheme 4.2).
const (
	aipEvidence = 0x80 // byte 1
	aipChannel  = 0x01 // byte 1
	aipOffline  = 0x08 // byte 2
	aipRelay    = 0x01 // byte 2
)

// gpo checks the PDOL, draws UN and dk, and sends the PDOL data (scheme 5.3 S2).
func (x *activation) gpo() Step {
	app := x.app
	list, err := tlv.ParseDOL(app.objects.value(0x9F38))
	if err != nil || dict.CheckPDOL(list) != nil {
		return x.selectNext()
	}
	if err := x.draw(app); err != nil {
		return x.broken(err)
	}
	app.values = x.terminalData(app)
	if app.pdolData, err = dict.Fill(list, app.values); err != nil {
		return x.selectNext()
	}
	return x.send(&exchange{
		name: "GET PROCESSING OPTIONS", command: apdu.GPO(app.pdolData), limit: gpoLimit,
		done: x.gpoAnswer,
		over: func() Step { return x.final(malformed("GET PROCESSING OPTIONS: answer too long")) },
	})
}

// maxUNDraws bounds the search for a number that is neither zero nor the last
// one: each draw fails with probability 2^-31.
const maxUNDraws = 8

// draw takes UN and then dk (scheme 5.3).
func (x *activation) draw(app *application) error {
	for range maxUNDraws {
		if _, err := io.ReadFull(x.random, app.un[:]); err != nil {
			return fmt.Errorf("draw unpredictable number: %w", err)
		}
		if app.un != [4]byte{} && app.un != x.a.lastUN { // scheme 4.1
			break
		}
	}
	if app.un == [4]byte{} || app.un == x.a.lastUN {
		return fmt.Errorf("draw unpredictable number: the source repeats itself")
	}
	x.a.lastUN = app.un
	if x.ahead != nil {
		app.key, x.ahead = x.ahead.key, nil
		return nil
	}
	var err error
	app.key, err = channel.DrawAgreeKey(x.random)
	return err
}

// broken ends the sale for a failure of our own.
func (x *activation) broken(err error) Step {
	o := malformed("")
	o.Fault = err
	return x.final(o)
}

// gpoAnswer follows the status words of scheme 5.2.
func (x *activation) gpoAnswer(sw apdu.SW, data []byte) Step {
	switch sw {
	case apdu.OK:
		return x.processing(data)
	case apdu.CannotTap:
		return x.final(otherInterface(ReasonNoWallet))
	case apdu.NotSatisfied:
		return x.selectNext()
	case apdu.SeePhone:
		return x.again(seePhone(MsgSeePhone, ReasonUnlock))
	case apdu.NotSupported:
		return x.final(ended(MsgOtherCard, ReasonOutdated, "GET PROCESSING OPTIONS: SW 6A81"))
	}
	return x.final(ended(MsgOtherCard, ReasonProtocol, "GET PROCESSING OPTIONS: SW "+sw.String()))
}

// processing is S3 after 9000: the AFL is judged before the AIP and the card's
// key (scheme 5.3).
func (x *activation) processing(data []byte) Step {
	app := x.app
	root, err := tlv.ParseOne(data)
	if err == nil && root.Tag != 0x77 {
		err = fmt.Errorf("template %v", root.Tag)
	}
	if err == nil {
		err = app.objects.take([]tlv.Node{root}, origin{source: dict.FromGPO})
	}
	if err == nil && !app.objects.has(0x82, 0x94, 0x9F8103) {
		err = fmt.Errorf("82, 94 or 9F8103 missing")
	}
	if err == nil {
		app.afl, err = parseAFL(app.objects.value(0x94))
	}
	if err != nil {
		return x.final(malformed("GET PROCESSING OPTIONS: " + err.Error()))
	}
	aip := app.objects.value(0x82)
	card := app.objects.value(0x9F8103)
	pc, err := channel.PointX(card[:32])
	if err != nil || aip[0]&aipEvidence == 0 || aip[0]&aipChannel == 0 {
		return x.selectNext()
	}
	app.channel = opened{key: app.key, pc: pc, encrypted: card[32:]}
	app.counter = channel.FirstCounter + 1 // the first one was for r (scheme 6.2)
	x.work = append(x.work, func() { app.channel.get() })
	if aip[1]&aipRelay != 0 {
		return x.errd()
	}
	app.tvr.setIf(app.flags.relay, bitRelayNotDone)
	return x.readNext()
}

// opened is the channel of scheme 6.1, computed once, early or late.
type opened struct {
	key       channel.AgreeKey
	pc        *ecdh.PublicKey
	encrypted []byte
	memo      memo[secrets]
}

type secrets struct {
	channel.Session
	r Secret
}

func (o *opened) get() secrets {
	return o.memo.get(func() secrets {
		z, err := o.key.ECDH(o.pc)
		if err != nil { // the point was checked; P-256 has no other failure
			z = channel.NewSecret(make([]byte, 32))
		}
		s := channel.DeriveSession(z)
		z.Wipe()
		return secrets{Session: s, r: channel.NewSecret(channel.CTR(s.SKc, channel.FirstCounter, o.encrypted))}
	})
}
