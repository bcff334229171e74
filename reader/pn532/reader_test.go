package pn532

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/pn532sim"
	"tapkeeper/reader/serialport"
)

var selectPPSE = append([]byte{0x00, 0xA4, 0x04, 0x00, 14}, "2PAY.SYS.DDF01\x00"...)

const limit = 5 * time.Second

func await(t testing.TB, r *Reader) reader.Card {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	card, err := r.Await(ctx)
	if err != nil {
		t.Fatalf("await: %v (%v: %v)", err, r.State(), r.Trouble())
	}
	return card
}

func wantState(t testing.TB, r *Reader, want reader.State) {
	t.Helper()
	for end := time.Now().Add(limit); r.State() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("state %v (%v), want %v", r.State(), r.Trouble(), want)
		}
	}
}

func tap(t testing.TB, r *Reader, phone *readertest.Loop) {
	t.Helper()
	card := await(t, r)
	answer, _, err := card.Transmit(t.Context(), selectPPSE)
	if err != nil || !bytes.HasPrefix(answer, selectPPSE) {
		t.Fatalf("answer %X, %v", answer, err)
	}
	if err := card.Release(0); err != nil {
		t.Fatal(err)
	}
	if n := len(phone.Seen()); n != 1 {
		t.Errorf("the phone saw the command %d times", n)
	}
}

// Whatever the line does to one exchange, the phone sees its command once and its answer arrives whole, or not at all.
func TestLineFaultsAreMended(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault pn532sim.Fault
	}{
		{"no acknowledgement", pn532sim.NoACK}, {"one write", pn532sim.OneWrite}, {"byte by byte", pn532sim.ByteByByte},
		{"noise and zeros first", pn532sim.LongStart}, {"spoilt once", pn532sim.Spoilt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			chip, l := module(t)
			for _, code := range []byte{samConfiguration, getFirmwareVersion, rfConfiguration, inListPassiveTarget, inDataExchange} {
				chip.Break(code, tc.fault)
			}
			var phone readertest.Loop
			chip.Present(&phone)
			tap(t, open(t, l.Path(), Options{}), &phone)
		})
	}
}

func TestLineFaultsThatCannotBeMended(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault pn532sim.Fault
		want  error
	}{
		{"always spoilt", pn532sim.AllSpoilt, errBroken}, {"error frame", pn532sim.SyntaxError, errSyntax}, {"deaf", pn532sim.Deaf, errSilent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			chip, l := module(t)
			chip.Break(inDataExchange, tc.fault)
			var phone readertest.Loop
			chip.Present(&phone)
			r := open(t, l.Path(), Options{})
			card := await(t, r)
			if _, _, err := card.Transmit(t.Context(), selectPPSE); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			card.Release(0)
			card = await(t, r) // and the module is served again
			if _, _, err := card.Transmit(t.Context(), selectPPSE); err != nil {
				t.Error(err)
			}
			card.Release(0)
			sent := 0
			for _, c := range chip.Seen() {
				if c[0] == inDataExchange {
					sent++
				}
			}
			if sent != 2 {
				t.Errorf("%d commands were sent to the phone, want one in each activation", sent)
			}
		})
	}
}

func TestSilentPhoneIsGivenUp(t *testing.T) {
	chip, l := module(t)
	chip.Break(inDataExchange, pn532sim.Late)
	slow := true
	phone := readertest.Loop{Reply: func(_ int, command []byte) []byte {
		if slow {
			slow = false
			time.Sleep(80 * time.Millisecond)
			return []byte{0x6F, 0x01}
		}
		return append(bytes.Clone(command), 0x90, 0x00)
	}}
	chip.Present(&phone)
	r := open(t, l.Path(), Options{})
	card := await(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, _, err := card.Transmit(ctx, selectPPSE); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	card.Release(0)
	card = await(t, r)
	if answer, _, err := card.Transmit(t.Context(), selectPPSE); err != nil || !bytes.HasPrefix(answer, selectPPSE) {
		t.Errorf("%X, %v: the late answer of the tap before?", answer, err)
	}
	card.Release(0)
}

func TestStatusWords(t *testing.T) {
	for status := byte(1); status <= statusBits; status++ {
		err := error(&StatusError{"InDataExchange", status})
		if _, known := statusWords[status]; known && strings.Contains(err.Error(), "unknown") {
			t.Errorf("status %02X: %v", status, err)
		}
	}
	chip, l := module(t)
	r := open(t, l.Path(), Options{})
	for _, tc := range []struct {
		status byte
		gone   bool
		words  string
	}{{0x01, true, "did not answer in time"}, {0x06, true, "more than one card"}, {0x27, true, "not selected"}, {0x29, true, "released"}, {0x2B, true, "left the field"}, {0x10, false, "invalid parameter"}} {
		var phone readertest.Loop
		chip.Present(&phone)
		chip.Fail(inDataExchange, tc.status)
		card := await(t, r)
		_, _, err := card.Transmit(t.Context(), selectPPSE)
		if errors.Is(err, reader.ErrCardGone) != tc.gone || err == nil || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("status %02X: %v", tc.status, err)
		}
		card.Release(0)
		chip.Remove()
	}
}

func TestPhoneOfTypeB(t *testing.T) {
	chip, l := module(t)
	var phone readertest.Loop
	chip.B.Present(&phone)
	tap(t, open(t, l.Path(), Options{}), &phone)
}

func TestManyCards(t *testing.T) {
	for name, present := range map[string]func(*pn532sim.Chip, readertest.Phone, readertest.Phone){
		"two of type A": func(c *pn532sim.Chip, p, q readertest.Phone) { c.A.Present(p); c.A.Present(q) },
		"A and B":       func(c *pn532sim.Chip, p, q readertest.Phone) { c.A.Present(p); c.B.Present(q) },
	} {
		chip, l := module(t)
		var one, two, next readertest.Loop
		present(chip, &one, &two)
		r := open(t, l.Path(), Options{})
		if _, err := r.Await(t.Context()); !errors.Is(err, reader.ErrManyCards) {
			t.Errorf("%s: %v", name, err)
		}
		if len(one.Seen())+len(two.Seen()) > 0 {
			t.Errorf("%s: a phone got a command", name)
		}
		chip.Remove()
		chip.Present(&next)
		tap(t, r, &next)
	}
}

func TestPollingFrame(t *testing.T) {
	chip, l := module(t)
	polling := []byte{0x6A, 0x01, 0x02}
	r := open(t, l.Path(), Options{Polling: polling})
	go func() {
		for len(chip.Polls()) < 2 {
			time.Sleep(time.Millisecond)
		}
		chip.Present(&readertest.Loop{})
	}()
	await(t, r).Release(0)
	polls := chip.Polls()
	if len(polls) < 2 || !bytes.Equal(polls[0], polling) {
		t.Errorf("polls %X", polls)
	}
	if _, err := Open(l.Path(), Options{Polling: make([]byte, maxPolling+1)}); err == nil {
		t.Error("a polling frame longer than any was taken")
	}
}

func TestSpeed(t *testing.T) {
	t.Parallel()
	chip, l := module(t)
	chip.Present(&readertest.Loop{})
	r := open(t, l.Path(), Options{Fast: true})
	card := await(t, r)
	if chip.Baud() != fast || l.Baud() != fast {
		t.Errorf("chip %d baud, line %d baud", chip.Baud(), l.Baud())
	}
	card.Release(0)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if chip.Baud() != slow {
		t.Errorf("the next program finds the chip at %d baud", chip.Baud())
	}
	// A daemon that was killed has left it at the higher speed.
	port, err := serialport.Open(l.Path(), serialport.Mode{Baud: slow})
	if err != nil {
		t.Fatal(err)
	}
	lost := newChip(port)
	if err := errors.Join(lost.hello(), lost.setSpeed(fast), port.Close()); err != nil {
		t.Fatal(err)
	}
	if chip.Baud() != fast {
		t.Fatalf("chip at %d baud", chip.Baud())
	}
	await(t, open(t, l.Path(), Options{})).Release(0)
	if chip.Baud() != slow {
		t.Errorf("chip at %d baud", chip.Baud())
	}
}

func TestUnplugAndReplug(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "usb-NFC-if00")
	l, err := line.OpenPTY(link)
	if err != nil {
		t.Fatal(err)
	}
	chip := serve(t, l)
	var phone readertest.Loop
	chip.Present(&phone)
	r := open(t, link, Options{Fast: true})
	card := await(t, r)
	l.Unplug()
	if _, _, err := card.Transmit(t.Context(), selectPPSE); !errors.Is(err, reader.ErrReaderGone) {
		t.Errorf("transmit: %v", err)
	}
	card.Release(0)
	wantState(t, r, reader.Missing)
	if err := l.Plug(); err != nil {
		t.Fatal(err)
	}
	wantState(t, r, reader.Ready)
	tap(t, r, &phone)
	// Idle, with nobody waiting: it is noticed too.
	l.Unplug()
	wantState(t, r, reader.Missing)
	// And while somebody waits.
	came := make(chan error, 1)
	chip.Remove()
	go func() {
		card, err := r.Await(t.Context())
		if err == nil {
			card.Release(0)
		}
		came <- err
	}()
	if err := l.Plug(); err != nil {
		t.Fatal(err)
	}
	wantState(t, r, reader.Ready)
	l.Unplug()
	wantState(t, r, reader.Missing)
	if err := l.Plug(); err != nil {
		t.Fatal(err)
	}
	chip.Present(&readertest.Loop{})
	if err := <-came; err != nil {
		t.Error(err)
	}
}

func TestPowerLossOfTheModule(t *testing.T) {
	t.Parallel()
	chip, l := module(t)
	var phone readertest.Loop
	chip.Present(&phone)
	r := open(t, l.Path(), Options{Fast: true})
	card := await(t, r)
	chip.LosePower()
	if _, _, err := card.Transmit(t.Context(), selectPPSE); err == nil {
		t.Error("a chip without power has answered")
	}
	card.Release(0)
	tap(t, r, &phone)
}

func TestFieldIsOffBetweenTaps(t *testing.T) {
	chip, l := module(t)
	var phone readertest.Loop
	chip.Present(&phone)
	r := open(t, l.Path(), Options{})
	tap(t, r, &phone)
	for end := time.Now().Add(limit); phone.Powered(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the phone still has power after its release")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	chip.Remove()
	r.Await(ctx)
	time.Sleep(50 * time.Millisecond)
	last := chip.Seen()
	if got := last[len(last)-1]; !bytes.Equal(got, append([]byte{rfConfiguration}, fieldOff...)) && got[0] != getFirmwareVersion {
		t.Errorf("after a wait that ended the last command is %X, want the field off", got)
	}
}
