package zvt

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxAmount is what six bytes of BCD hold.
const maxAmount = 999_999_999_999

// errNoStatus: the terminal ended a payment without a word on it.
var errNoStatus = errors.New("the terminal ended without saying what has become of it")

// Pay has the terminal take a payment (06 01). A Code of 0 is paid, any other is not, and an error leaves it open
// unless it is ErrUntouched: Repeat tells then. A ctx that ends asks the terminal to stop, which it need not do.
func (c *Client) Pay(ctx context.Context, amountMinor int64, currency uint16, w Witness) (Status, error) {
	m, err := amountOf(Authorisation, nil, amountMinor, currency)
	if err != nil {
		return Status{}, fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	d := &dialogue{command: m, witness: w}
	s, err := c.do(ctx, d)
	if err == nil && s.Code == CodeDone && !d.stored {
		err = errNoStatus
	}
	return s, err
}

// Refund has the terminal give money back to a card that is presented to it (06 31).
func (c *Client) Refund(ctx context.Context, amountMinor int64, currency uint16, w Witness) (Status, error) {
	m, err := amountOf(Refund, c.password(), amountMinor, currency)
	if err != nil {
		return Status{}, fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	return c.do(ctx, &dialogue{command: m, witness: w})
}

func amountOf(control Control, head []byte, minor int64, currency uint16) (Msg, error) {
	if minor <= 0 || minor > maxAmount {
		return Msg{}, fmt.Errorf("an amount of %d", minor)
	}
	if currency == 0 {
		return Msg{}, errors.New("a currency without a number")
	}
	return Msg{Control: control, Head: head, Fields: []Field{
		{Tag: 0x04, Value: bcd(minor, 6)}, {Tag: 0x49, Value: currencyBCD(currency)},
	}}, nil
}

// Reverse undoes the payment of a receipt, whole, without a card (06 30).
func (c *Client) Reverse(ctx context.Context, receipt string, w Witness) (Status, error) {
	const size = 4
	if len(receipt) != size {
		return Status{}, fmt.Errorf("%w: a receipt number of %d digits", ErrUntouched, len(receipt))
	}
	m := Msg{Control: Reversal, Head: c.password(), Fields: []Field{{Tag: 0x87, Value: fromDigits(receipt)}}}
	return c.do(ctx, &dialogue{command: m, witness: w})
}

// Repeat asks for the terminal's last booking (06 20, service byte 01: with its status information). There is none
// when found is false. It moves no money.
func (c *Client) Repeat(ctx context.Context) (s Status, found bool, err error) {
	d := &dialogue{command: Msg{Control: RepeatReceipt, Head: c.password(), Fields: []Field{{Tag: 0x03, Value: []byte{0x01}}}}}
	s, err = c.do(ctx, d)
	switch {
	case err != nil:
		return Status{}, false, err
	case d.stored:
		return d.status, true, nil
	case s.Code == codeNotPossible:
		return Status{}, false, nil
	}
	return Status{}, false, fmt.Errorf("%v: %s", RepeatReceipt, Words(s.Code))
}

// EndOfDay closes the terminal's day (06 50); its totals are in the status.
func (c *Client) EndOfDay(ctx context.Context, w Witness) (Status, error) {
	return c.do(ctx, &dialogue{command: Msg{Control: EndOfDay, Head: c.password()}, witness: w})
}

// Diagnose has the terminal look at itself and its host (06 70).
func (c *Client) Diagnose(ctx context.Context, w Witness) error {
	s, err := c.do(ctx, &dialogue{command: Msg{Control: Diagnosis}, witness: w})
	if err == nil && s.Code != CodeDone {
		err = fmt.Errorf("%v: %s", Diagnosis, Words(s.Code))
	}
	return err
}

// Probe asks once whether a terminal is on a serial line, by a status enquiry, which changes nothing. It returns the
// version of its software. The line stays open.
func Probe(line Line) (version string, err error) {
	const ms = time.Millisecond
	t := times{ack: 300 * ms, done: 700 * ms, next: 2000 * ms, stop: 500 * ms, busy: 0, store: 0}
	c := &Client{times: t, link: newLink(keepOpen{line}, true, t)}
	c.link.once = true
	end, _, err := c.run(&dialogue{command: Msg{Control: StatusEnquiry, Head: []byte{0, 0, 0}}})
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return "", nil // it speaks the protocol
	}
	if err != nil {
		return "", err
	}
	return versionOf(end), nil
}

// keepOpen leaves a line to the one who has opened it.
type keepOpen struct{ Line }

// Close implements Line.
func (keepOpen) Close() error { return nil }

// versionOf reads the end of a status enquiry.
func versionOf(end Msg) string {
	if n, ok := variableLength(end.Head, 3); ok && len(end.Head) >= 3+n {
		return Text(end.Head[3 : 3+n])
	}
	return ""
}

// Enquire asks the terminal for its state (05 01), which changes nothing: a result code as Words has them, and the
// version of its software.
func (c *Client) Enquire(ctx context.Context) (code byte, version string, err error) {
	if err := c.take(ctx); err != nil {
		return 0, "", fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	defer c.give()
	end, code, err := c.run(&dialogue{command: Msg{Control: StatusEnquiry, Head: c.password()}, cancel: ctx.Done()})
	if err != nil || len(end.Head) == 0 || end.Control == Aborted {
		return code, "", err
	}
	return end.Head[len(end.Head)-1], versionOf(end), nil
}
