package phone

import (
	"bytes"
	"crypto/ecdh"
	"encoding/binary"
	"io"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// session is one GPO: its data, keys and what was said since. It lives in
// memory only.
type session struct {
	pdolData []byte
	keys     channel.Session
	counter  uint16   // CMC of the next encrypted object
	relay    [14]byte // DF8B23 as the terminal must repeat it
	relayed  bool
}

// lastCounter ends a session before the counter could come round to a value
// already used with the same key.
const lastCounter = 0xFFFF

// processingOptions answers GPO (scheme 7.4). Nothing durable happens, and r is
// drawn only when the answer will be 9000.
func (w *Wallet) processingOptions(data []byte) ([]byte, apdu.SW) {
	if w.tap.selected < 0 {
		return nil, apdu.NotSatisfied
	}
	w.tap.session = nil
	c := w.cards[w.tap.selected]
	pdolData, ok := commandTemplate(data)
	if !ok || len(pdolData) != c.pdol.Size() {
		return nil, apdu.WrongLength
	}
	get := func(tag tlv.Tag, size int) []byte { return find(c.pdol, pdolData, tag, size) }
	if q := get(tag9F2B, 8); q == nil || q[0] != 0x01 || q[2] != 0xC1 || q[3] != 0xE1 {
		return nil, apdu.NotSupported
	}
	peer, err := channel.PointXY(get(tag9E, 64))
	if err != nil {
		return nil, apdu.WrongData
	}
	if wanted := get(tagDF8B26, 2); wanted != nil && wanted[0]&0x80 != 0 && !w.verified() {
		return nil, apdu.SeePhone
	}
	if w.state.Cards[w.tap.selected].Off {
		return nil, apdu.NotSatisfied
	}
	keys, cardKeyData, err := c.agree(w.random, peer)
	if err != nil {
		return nil, swInternal
	}
	w.tap.session = &session{pdolData: bytes.Clone(pdolData), keys: keys, counter: channel.FirstCounter + 1}
	answer := tlv.Append(nil, tag82, c.AIP)
	answer = tlv.Append(answer, tag94, c.AFL)
	answer = tlv.Append(answer, tag9F8103, cardKeyData)
	return tlv.Append(nil, tag77, answer), apdu.OK
}

// agree is the phone's side of the blinded key agreement (scheme 6.1). It
// returns the session keys and the card key data 9F8103.
func (c *card) agree(random io.Reader, qk *ecdh.PublicKey) (channel.Session, []byte, error) {
	r, err := channel.DrawAgreeKey(random)
	if err != nil {
		return channel.Session{}, nil, err
	}
	pc, err := r.ECDH(c.dc.Public())
	if err != nil {
		return channel.Session{}, nil, err
	}
	p1, err := r.ECDH(qk)
	if err != nil {
		return channel.Session{}, nil, err
	}
	point, err := channel.PointX(p1.Bytes())
	if err != nil {
		return channel.Session{}, nil, err
	}
	z, err := c.dc.ECDH(point)
	if err != nil {
		return channel.Session{}, nil, err
	}
	keys := channel.DeriveSession(z)
	sealed := channel.CTR(keys.SKc, channel.FirstCounter, r.Scalar().Bytes())
	return keys, append(bytes.Clone(pc.Bytes()), sealed...), nil
}

// commandTemplate opens the 83 object around the PDOL data (scheme 5.1): one
// length byte, or 81 and one byte.
func commandTemplate(data []byte) ([]byte, bool) {
	switch {
	case len(data) >= 2 && data[0] == 0x83 && data[1] <= 0x7F && int(data[1]) == len(data)-2:
		return data[2:], true
	case len(data) >= 3 && data[0] == 0x83 && data[1] == 0x81 && int(data[2]) == len(data)-3:
		return data[3:], true
	}
	return nil, false
}

// exchangeRelayData answers ERRD (scheme 5.1, 5.7): fresh entropy and the
// card's own times.
func (w *Wallet) exchangeRelayData(data []byte) ([]byte, apdu.SW) {
	s := w.tap.session
	if s == nil {
		return nil, apdu.NotSatisfied
	}
	if len(data) != 4 {
		return nil, apdu.WrongLength
	}
	var entropy [4]byte
	if _, err := io.ReadFull(w.random, entropy[:]); err != nil {
		return nil, swInternal
	}
	times := w.cards[w.tap.selected].Relay
	answer := append([]byte(nil), entropy[:]...)
	answer = binary.BigEndian.AppendUint16(answer, times.Min)
	answer = binary.BigEndian.AppendUint16(answer, times.Max)
	answer = binary.BigEndian.AppendUint16(answer, times.Est)
	copy(s.relay[:4], data)
	copy(s.relay[4:], answer)
	s.relayed = true
	return tlv.Append(nil, tag80, answer), apdu.OK
}

// readRecord answers READ RECORD; each encrypted record takes the next counter
// (scheme 4.3, 6.2).
func (w *Wallet) readRecord(number, p2 byte) ([]byte, apdu.SW) {
	s := w.tap.session
	if s == nil {
		return nil, apdu.NotSatisfied
	}
	if p2&0x07 != 0x04 {
		return nil, apdu.WrongParameters
	}
	r, ok := w.cards[w.tap.selected].record(p2>>3, number)
	switch {
	case !ok:
		return nil, apdu.RecordNotFound
	case !r.Encrypted:
		return tlv.Append(nil, tag70, r.Content), apdu.OK
	case s.counter == lastCounter:
		return nil, apdu.NotSatisfied
	}
	cipher := channel.CTR(s.keys.SKc, s.counter, r.Content)
	s.counter++
	return tlv.Append(nil, tagDA, cipher), apdu.OK
}
