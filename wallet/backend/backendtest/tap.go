// Package backendtest taps phones for tests of the wallet: a terminal with no
// judgement of its own, which asks a phone for any cryptogram and writes down
// the evidence (scheme 9.1). What a terminal must refuse, it does not.
package backendtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/phone"
)

// Cryptograms to ask for (scheme 5.1).
const (
	AskAAC  byte = 0x00
	AskTC   byte = 0x40
	AskARQC byte = 0x80
)

// Phone is what a tap needs of a phone; *phone.Wallet is one.
type Phone interface {
	PowerOn()
	PowerOff()
	Transmit(command []byte) []byte
}

// Tap is one sale at a terminal.
type Tap struct {
	Payment   [16]byte
	Amount    int64
	Currency  [2]byte // n3; zero means 0156
	Ask       byte
	Refund    bool
	Connected bool
	Merchant  string
	Terminal  string // 8 characters
	At        time.Time
	Kind      byte // of the record, scheme 9.1
}

// New makes a phone with one card and no durable store.
func New(p phone.Profile, now func() time.Time) (*phone.Wallet, error) {
	return phone.New([]phone.Profile{p}, phone.State{}, phone.Options{Store: forgetful{}, Now: now})
}

type forgetful struct{}

func (forgetful) Save(phone.State) error { return nil }

// field is one field activation.
type field struct {
	phone Phone
	tap   Tap
	un    [4]byte
	key   channel.AgreeKey
	keys  channel.Session
	err   error

	fci, gpo, files map[tlv.Tag]tlv.Node
	signed          []byte
	pdolData, cdol1 []byte
}

// Do taps and returns the record (BF8B01) and the CID of the phone's answer.
func (t Tap) Do(p Phone) (record []byte, cid byte, err error) {
	f := &field{phone: p, tap: t, files: map[tlv.Tag]tlv.Node{}}
	if f.key, err = channel.DrawAgreeKey(rand.Reader); err != nil {
		return nil, 0, err
	}
	rand.Read(f.un[:])
	f.un[0] |= 1 // never zero
	p.PowerOn()
	defer p.PowerOff()
	f.fci = f.ask(apdu.Select([]byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 0x01, 0x01}, false), "SELECT")
	f.pdolData = f.fill(f.fci[0x9F38].Value)
	f.gpo = f.ask(apdu.GPO(f.pdolData), "GPO")
	f.readFiles()
	f.cdol1 = f.fill(f.files[0x8C].Value)
	answer := f.transmit(apdu.GenerateAC(t.Ask, f.cdol1), "GENERATE AC")
	if f.err != nil {
		return nil, 0, f.err
	}
	objects := map[tlv.Tag]tlv.Node{}
	f.collect(objects, answer)
	if f.err != nil || len(objects[0x9F27].Value) != 1 {
		return nil, 0, errors.Join(f.err, errors.New("GENERATE AC: no CID"))
	}
	return f.record(answer), objects[0x9F27].Value[0], nil
}

// transmit sends one command unless something failed before.
func (f *field) transmit(c apdu.Command, name string) []byte {
	if f.err != nil {
		return nil
	}
	r, err := apdu.ParseResponse(f.phone.Transmit(c.Bytes()))
	if err != nil || r.SW != apdu.OK {
		f.err = fmt.Errorf("%s: SW %v %v", name, r.SW, err)
	}
	return r.Data
}

func (f *field) ask(c apdu.Command, name string) map[tlv.Tag]tlv.Node {
	found := map[tlv.Tag]tlv.Node{}
	f.collect(found, f.transmit(c, name))
	return found
}

// collect adds all objects of an answer, at any depth.
func (f *field) collect(into map[tlv.Tag]tlv.Node, b []byte) {
	nodes, err := tlv.Parse(b)
	if err != nil && f.err == nil {
		f.err = err
	}
	tlv.Walk(nodes, func(n tlv.Node, _ int) bool { into[n.Tag] = n; return true })
}

// readFiles derives the session keys and reads what the AFL names (scheme 4.3, 6.1).
func (f *field) readFiles() {
	card := f.gpo[0x9F8103].Value
	if f.err == nil && len(card) != 64 {
		f.err = errors.New("GPO: no card key data")
	}
	if f.err != nil {
		return
	}
	point, err := channel.PointX(card[:32])
	if err != nil {
		f.err = err
		return
	}
	z, err := f.key.ECDH(point)
	if err != nil {
		f.err = err
		return
	}
	f.keys = channel.DeriveSession(z)
	counter := channel.FirstCounter
	for afl := f.gpo[0x94].Value; len(afl) >= 4; afl = afl[4:] {
		for number := afl[1]; number <= afl[2]; number++ {
			answer := f.transmit(apdu.ReadRecord(afl[0]>>3, number), "READ RECORD")
			nodes, err := tlv.ParseFlat(answer)
			if f.err != nil || err != nil || len(nodes) != 1 {
				f.err = errors.Join(f.err, err, errors.New("READ RECORD: not one object"))
				return
			}
			content := nodes[0].Value
			if nodes[0].Tag == 0xDA {
				counter++
				content = channel.CTR(f.keys.SKc, counter, content)
			}
			f.collect(f.files, content)
			if number-afl[1] < afl[3] {
				f.signed = append(f.signed, content...)
			}
		}
	}
}

// fill makes the terminal's data for a DOL (scheme 4.1).
func (f *field) fill(dol []byte) []byte {
	list, err := tlv.ParseDOL(dol)
	if err == nil && len(list) == 0 {
		err = errors.New("empty")
	}
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("DOL: %w", err)
	}
	data, err := list.Fill(f.value)
	if err != nil && f.err == nil {
		f.err = err
	}
	return data
}

func (f *field) value(t tlv.Tag) ([]byte, tlv.Format, bool) {
	hash := channel.MerchantHash(f.tap.Merchant)
	currency := f.tap.Currency
	if currency == ([2]byte{}) {
		currency = [2]byte{0x01, 0x56}
	}
	kind, request := byte(0x00), byte(0x50)
	if f.tap.Refund {
		kind, request = 0x20, 0x40
	}
	if f.tap.Connected {
		request |= 0x20
	}
	at := f.tap.At
	switch t {
	case 0x9F2B:
		return []byte{1, 0xF0, 0xC1, 0xE1, 0, 0, 0, 0}, tlv.Binary, true
	case 0x9E:
		return f.key.XY(), tlv.Binary, true
	case 0x9F02:
		return tlv.BCD(uint64(f.tap.Amount), 6), tlv.Numeric, true
	case 0x5F2A:
		return currency[:], tlv.Numeric, true
	case 0x9F1A:
		return []byte{0x01, 0x56}, tlv.Numeric, true
	case 0x9A:
		return tlv.BCD(uint64(at.Year()%100*10000+int(at.Month())*100+at.Day()), 3), tlv.Numeric, true
	case 0x9F21:
		return tlv.BCD(uint64(at.Hour()*10000+at.Minute()*100+at.Second()), 3), tlv.Numeric, true
	case 0x9C:
		return []byte{kind}, tlv.Numeric, true
	case 0x9F37:
		return f.un[:], tlv.Binary, true
	case 0x9F1C:
		return []byte(f.tap.Terminal), tlv.Binary, true
	case 0xDF8B21:
		return hash[:], tlv.Binary, true
	case 0xDF8B22:
		return f.tap.Payment[:], tlv.Binary, true
	case 0xDF8B26:
		return []byte{request, 0}, tlv.Binary, true
	case 0x9F06:
		return []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 0x01, 0x01}, tlv.Binary, true
	}
	return nil, tlv.Binary, false
}

// record writes BF8B01 (scheme 9.1).
func (f *field) record(answer []byte) []byte {
	var b []byte
	put := func(t tlv.Tag, value []byte) { b = tlv.Append(b, t, value) }
	put(0xDF8B30, []byte{1})
	put(0xDF8B31, []byte{f.tap.Kind})
	put(0xDF8B37, []byte{0})
	put(0x9F06, []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 0x01, 0x01})
	put(0x84, f.fci[0x84].Value)
	put(0x9F38, f.fci[0x9F38].Value)
	put(0x9F2C, f.fci[0x9F2C].Value)
	put(0x82, f.gpo[0x82].Value)
	put(0xDF8B32, f.pdolData)
	put(0xDF8B33, f.cdol1)
	put(0xDF8B36, f.signed)
	put(0x90, f.files[0x90].Value)
	put(0x9F46, f.files[0x9F46].Value)
	if grant := f.files[0xDF8B11].Value; grant != nil {
		put(0xDF8B11, grant)
	}
	put(0xDF8B34, answer)
	put(0x95, make([]byte, 5))
	put(0x9B, []byte{0xC9, 0x00})
	put(0x9F34, []byte{0x1F, 0x00, 0x02})
	return tlv.Append(nil, 0xBF8B01, b)
}
