package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
)

// application selects a name and reads what stands behind it. A name that is only
// tried is not mentioned when nothing answers to it.
func (p *probe) application(ctx context.Context, name []byte, listed bool) error {
	if len(p.seen) >= maxApplications || !listed && p.known(name) {
		return nil
	}
	c := apdu.Select(name, false)
	r, err := p.send(ctx, c)
	if err != nil || r.SW != apdu.OK && !listed {
		return err
	}
	adf := value(r.Data, 0x84)
	if adf == nil {
		adf = name
	}
	kernel := kernelOf(adf, value(r.Data, 0x9F2C))
	if r.SW == apdu.OK {
		p.seen = append(p.seen, adf)
	}
	p.note("application "+upperHex(adf), c, r, kernel, "")
	if r.SW != apdu.OK {
		return nil
	}
	return p.options(ctx, kernel, value(r.Data, 0x9F38))
}

// known reports a name that starts the ADF name of an application already read.
func (p *probe) known(name []byte) bool {
	for _, adf := range p.seen {
		if bytes.HasPrefix(adf, name) {
			return true
		}
	}
	return false
}

// kernelOf tells the scheme's own applications by their qualifier (scheme 3.5).
func kernelOf(adf, qualifier []byte) dict.Kernel {
	if bytes.HasPrefix(qualifier, []byte{0x01, 0xC1, 0xE1}) || bytes.HasPrefix(adf, dict.RID()) {
		return dict.Scheme
	}
	return dict.Book
}

// options sends GET PROCESSING OPTIONS with the amount 0 and reads the records
// that the answer lists.
func (p *probe) options(ctx context.Context, kernel dict.Kernel, pdol []byte) error {
	data, err := p.pdolData(kernel, pdol)
	if err != nil {
		p.steps = append(p.steps, sight{About: "options", SW: "none", Note: "not asked: " + err.Error()})
		return nil
	}
	c := apdu.GPO(data)
	r, err := p.send(ctx, c)
	if err != nil {
		return err
	}
	p.note("options", c, r, kernel, "")
	if r.SW != apdu.OK {
		return nil
	}
	return p.records(ctx, kernel, locator(r.Data))
}

// locator is the AFL of either form of answer (EMV book 3 6.5.8.4).
func locator(data []byte) []byte {
	if n, err := tlv.ParseOne(data); err == nil && n.Tag == 0x80 && len(n.Value) > 2 {
		return n.Value[2:]
	}
	return value(data, 0x94)
}

// records reads what an AFL lists.
func (p *probe) records(ctx context.Context, kernel dict.Kernel, afl []byte) error {
	count := 0
	for ; len(afl) >= 4; afl = afl[4:] {
		sfi, first, last := afl[0]>>3, int(afl[1]), int(afl[2])
		if sfi == 0 || sfi > 30 || first == 0 {
			continue
		}
		for number := first; number <= last; number++ {
			if count++; count > maxRecords {
				return nil
			}
			c := apdu.ReadRecord(sfi, byte(number))
			r, err := p.send(ctx, c)
			if err != nil {
				return err
			}
			remark := ""
			if kernel == dict.Scheme && len(r.Data) > 0 && r.Data[0] == 0xDA {
				remark = "encrypted for a terminal that takes a payment; it stays so"
			}
			p.note(fmt.Sprintf("record %d of file %d", number, sfi), c, r, kernel, remark)
		}
	}
	return nil
}

// pdolData is what a card gets to know of us: a sale of nothing.
func (p *probe) pdolData(kernel dict.Kernel, pdol []byte) ([]byte, error) {
	list, err := tlv.ParseDOL(pdol)
	if err != nil {
		return nil, err
	}
	un := make([]byte, 4)
	if _, err := rand.Read(un); err != nil {
		return nil, fmt.Errorf("draw a number: %w", err)
	}
	if kernel == dict.Scheme {
		// The phone wants a point. The key is forgotten at once, so that what it
		// encrypts is read by nobody. GET PROCESSING OPTIONS changes nothing on the
		// phone (scheme 7.4).
		key, err := channel.DrawAgreeKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return dict.Fill(list, map[tlv.Tag][]byte{
			0x9F2B: {0x01, 0xF0, 0xC1, 0xE1, 0, 0, 0, 0}, 0x9E: key.XY(), 0x9F37: un,
			0x5F2A: {0x01, 0x56}, 0x9F1A: {0x01, 0x56}, 0xDF8B26: {0x40, 0x00}, // CDCVM accepted, as always
		})
	}
	values := foreignTerminal(p.now, un)
	return list.Fill(func(tag tlv.Tag) ([]byte, tlv.Format, bool) {
		format := tlv.Binary
		if row, ok := dict.FindIn(dict.Book, tag); ok && row.Format == dict.Numeric {
			format = tlv.Numeric
		}
		v, ok := values[tag]
		return v, format, ok
	})
}

// foreignTerminal is the terminal that other schemes' cards see: an attended
// merchant in China, the amount 0, and an online cryptogram wanted, so that a card
// that decides in GET PROCESSING OPTIONS approves nothing offline. Its counter
// rises by one, as at every reader. What is not named is zeros.
func foreignTerminal(now time.Time, un []byte) map[tlv.Tag][]byte {
	two := func(n int) byte { return byte(n/10%10<<4 | n%10) }
	return map[tlv.Tag][]byte{
		0x9F66: {0x26, 0x80, 0x40, 0x00}, // EMV mode; online cryptogram required; consumer device CVM
		0x9F1A: {0x01, 0x56}, 0x5F2A: {0x01, 0x56}, 0x9C: {0x00}, 0x9F37: un,
		0x9A:   {two(now.Year()), two(int(now.Month())), two(now.Day())},
		0x9F21: {two(now.Hour()), two(now.Minute()), two(now.Second())},
		0x9F33: {0x00, 0x28, 0xC8}, 0x9F35: {0x22}, 0x9F40: {0x60, 0x00, 0x00, 0x10, 0x01},
	}
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
