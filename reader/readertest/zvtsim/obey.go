package zvtsim

import (
	"errors"
	"fmt"
	"time"

	"tapkeeper/reader/zvt"
)

// Result codes of the terminal.
const (
	notPossible   = 0x6A
	notRegistered = 0x6B
	pressedStop   = 0x6C
	busyReceiver  = 0xA0
	reversedOnce  = 0xB4
)

// obey carries one command out.
func (t *Terminal) obey(m zvt.Msg) error {
	switch {
	case m.Control == zvt.Abort: // nothing runs
		t.send(zvt.Msg{Control: 0x8400 | notPossible})
		return nil
	case m.Control>>8 == 0x80 || m.Control>>8 == 0x84: // an answer to nothing
		return nil
	}
	f := t.fault(false, zvt.Done)
	if t.strike(f, true) {
		return errCut
	}
	t.sendWith(f, zvt.Msg{Control: zvt.Done})
	if t.strike(f, false) {
		return errCut
	}
	if !t.registered && m.Control != zvt.Registration && m.Control != zvt.StatusEnquiry {
		return t.abort(notRegistered)
	}
	switch m.Control {
	case zvt.Registration:
		t.registered = true
		return t.end(zvt.Msg{Control: zvt.Completion, Fields: []zvt.Field{{Tag: 0x19, Value: []byte{0}}, {Tag: 0x29, Value: t.ID[:]}}})
	case zvt.Authorisation:
		return t.payment(m)
	case zvt.Reversal:
		return t.reversal(m)
	case zvt.Refund:
		return t.book(Booking{Kind: Refund, AmountMinor: amount(m), Currency: value(m, 0x49)})
	case zvt.RepeatReceipt:
		return t.repeat()
	case zvt.EndOfDay:
		return t.endOfDay()
	case zvt.Diagnosis:
		return t.done()
	case zvt.StatusEnquiry:
		return t.end(zvt.Msg{Control: zvt.Completion, Head: append([]byte{0xF0, 0xF0, 0xF3}, "1.0\x00"...)})
	}
	return t.abort(notPossible)
}

func (t *Terminal) done() error { return t.end(zvt.Msg{Control: zvt.Completion}) }

func (t *Terminal) abort(code byte) error {
	return t.end(zvt.Msg{Control: zvt.Aborted, Head: []byte{code}})
}

// end gives the line back to the cash register.
func (t *Terminal) end(m zvt.Msg) error {
	_, err := t.say(m)
	return err
}

func value(m zvt.Msg, tag byte) []byte {
	for _, f := range m.Fields {
		if f.Tag == tag {
			return f.Value
		}
	}
	return nil
}

func number(bcd []byte) (n int64) {
	for _, b := range bcd {
		n = n*100 + int64(b>>4)*10 + int64(b&0xF)
	}
	return n
}

func amount(m zvt.Msg) int64 { return number(value(m, 0x04)) }

func bcd(v int64, n int) []byte {
	b := make([]byte, n)
	for i := n - 1; i >= 0; i-- {
		b[i] = byte(v%10) | byte(v/10%10)<<4
		v /= 100
	}
	return b
}

func hint(code byte, text string) zvt.Msg {
	return zvt.Msg{Control: zvt.IntermStatus, Head: []byte{code, 0x01}, Fields: []zvt.Field{
		{Tag: 0x06, TLV: []zvt.TLV{{Tag: 0x24, TLV: []zvt.TLV{{Tag: 0x07, Value: zvt.FromText(text)}}}}},
	}}
}

// payment is an authorisation: card, host, status, receipt.
func (t *Terminal) payment(m zvt.Msg) error {
	for _, h := range []zvt.Msg{hint(0x0A, "Karte bitte"), hint(0x0E, "Bitte warten")} {
		switch answer, err := t.say(h); {
		case err != nil:
			return err
		case answer == zvt.Abort:
			return t.refuse(pressedStop, amount(m))
		}
	}
	t.mu.Lock()
	decide := t.decide
	t.mu.Unlock()
	if decide != nil {
		if code := decide(amount(m)); code != 0 {
			return t.refuse(code, amount(m))
		}
	}
	return t.book(Booking{Kind: Payment, AmountMinor: amount(m), Currency: value(m, 0x49)})
}

// refuse says that no money moves.
func (t *Terminal) refuse(code byte, minor int64) error {
	_, err := t.say(zvt.Msg{Control: zvt.StatusInfo, Fields: []zvt.Field{
		{Tag: 0x27, Value: []byte{code}}, {Tag: 0x04, Value: bcd(minor, 6)}, {Tag: 0x29, Value: t.ID[:]}, {Tag: 0x3C, Value: []byte("abgelehnt")},
	}})
	if err != nil {
		return err
	}
	return t.abort(code)
}

func (t *Terminal) reversal(m zvt.Msg) error {
	receipt := int(number(value(m, 0x87)))
	t.mu.Lock()
	var of *Booking
	for i := range t.bookings {
		if b := &t.bookings[i]; b.Receipt == receipt && b.Kind == Payment && i >= t.dayFrom {
			of = b
		}
	}
	t.mu.Unlock()
	switch {
	case of == nil:
		return t.abort(notPossible)
	case of.Reversed:
		return t.abort(reversedOnce)
	}
	return t.book(Booking{Kind: Reversal, AmountMinor: of.AmountMinor, Currency: of.Currency, Of: receipt})
}

// book offers a booking, and keeps it when all of it was answered.
func (t *Terminal) book(b Booking) error {
	t.mu.Lock()
	t.number++
	b.Receipt, b.Trace, b.At = t.number, 1000+t.number, time.Now()
	t.mu.Unlock()
	struck := error(nil)
	for _, m := range []zvt.Msg{t.status(b), receipt(b)} {
		answer, err := t.say(m)
		switch {
		case errors.Is(err, errStruck) && m.Control == zvt.StatusInfo: // its receipt will never be answered
			t.drop()
			return err
		case errors.Is(err, errStruck):
			struck = err
		case err != nil:
			t.drop()
			return err
		case answer != zvt.Done:
			t.drop()
			return t.abort(busyReceiver)
		}
	}
	t.keep(b)
	if struck != nil {
		return struck
	}
	return t.done()
}

func (t *Terminal) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.silent++
}

func (t *Terminal) keep(b Booking) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bookings = append(t.bookings, b)
	if b.Kind != Reversal {
		return
	}
	for i := range t.bookings {
		if o := &t.bookings[i]; o.Receipt == b.Of && o.Kind == Payment {
			o.Reversed = true
		}
	}
}

// status is the status information of a booking.
func (t *Terminal) status(b Booking) zvt.Msg {
	card := []byte{0x67, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0x43, 0x21}
	return zvt.Msg{Control: zvt.StatusInfo, Fields: []zvt.Field{
		{Tag: 0x27, Value: []byte{0}}, {Tag: 0x04, Value: bcd(b.AmountMinor, 6)}, {Tag: 0x0B, Value: bcd(int64(b.Trace), 3)},
		{Tag: 0x0C, Value: clock(b.At, "150405")}, {Tag: 0x0D, Value: clock(b.At, "0102")}, {Tag: 0x22, Value: card},
		{Tag: 0x29, Value: t.ID[:]}, {Tag: 0x49, Value: b.Currency}, {Tag: 0x87, Value: bcd(int64(b.Receipt), 2)},
		{Tag: 0x8B, Value: []byte("girocard\x00")},
		{Tag: 0x06, TLV: []zvt.TLV{{Tag: 0x1F10, Value: []byte{0}}, {Tag: 0x1F12, Value: []byte{2}}}},
	}}
}

func clock(at time.Time, layout string) []byte {
	s := at.Format(layout)
	b := make([]byte, len(s)/2)
	for i := range b {
		b[i] = (s[2*i]-'0')<<4 | (s[2*i+1] - '0')
	}
	return b
}

// receipt is a print block with umlauts, and with a byte that the serial line must double.
func receipt(b Booking) zvt.Msg {
	lines := []string{"** HÄNDLERBELEG **", fmt.Sprintf("%s %d,%02d", b.Kind, b.AmountMinor/100, b.AmountMinor%100), fmt.Sprintf("Beleg %04d", b.Receipt), "\x10"}
	block := zvt.TLV{Tag: 0x25}
	for _, l := range lines {
		block.TLV = append(block.TLV, zvt.TLV{Tag: 0x07, Value: zvt.FromText(l)})
	}
	return zvt.Msg{Control: zvt.PrintBlock, Fields: []zvt.Field{{Tag: 0x06, TLV: []zvt.TLV{block}}}}
}

// repeat says what the last booking was.
func (t *Terminal) repeat() error {
	t.mu.Lock()
	n := len(t.bookings)
	var last Booking
	if n > 0 {
		last = t.bookings[n-1]
	}
	t.mu.Unlock()
	if n == 0 {
		return t.abort(notPossible)
	}
	if _, err := t.say(t.status(last)); err != nil {
		return err
	}
	return t.done()
}

// endOfDay tells the day's totals, and closes it when they were answered.
func (t *Terminal) endOfDay() error {
	t.mu.Lock()
	var sum int64
	count, to := 0, len(t.bookings)
	first, last := 0, 0
	for _, b := range t.bookings[t.dayFrom:] {
		if first == 0 {
			first = b.Receipt
		}
		count, last = count+1, b.Receipt
		if b.Kind == Payment {
			sum += b.AmountMinor
		} else {
			sum -= b.AmountMinor
		}
	}
	t.mu.Unlock()
	if sum < 0 {
		sum = 0
	}
	totals := append(bcd(int64(first), 2), bcd(int64(last), 2)...)
	totals = append(append(totals, byte(count)), bcd(sum, 6)...)
	for range 6 {
		totals = append(totals, make([]byte, 7)...)
	}
	answer, err := t.say(zvt.Msg{Control: zvt.StatusInfo, Fields: []zvt.Field{
		{Tag: 0x27, Value: []byte{0}}, {Tag: 0x04, Value: bcd(sum, 6)}, {Tag: 0x29, Value: t.ID[:]}, {Tag: 0x60, Value: totals},
	}})
	if err != nil {
		return err
	}
	if answer != zvt.Done {
		return t.abort(busyReceiver)
	}
	t.mu.Lock()
	t.dayFrom = to
	t.mu.Unlock()
	return t.done()
}
