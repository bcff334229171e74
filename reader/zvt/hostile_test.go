package zvt_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/zvt"
)

// scripted is a terminal on TCP that says what a test writes: to each command of its own, messages in hex, of which
// each waits for an answer, but those that are late. An empty one only waits.
func scripted(t *testing.T, script map[zvt.Control][]string) *zvt.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go play(conn, script)
		}
	}()
	c, err := zvt.OpenQuick("tcp:"+l.Addr().String(), zvt.Options{Currency: euro})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func play(conn net.Conn, script map[zvt.Control][]string) {
	defer conn.Close()
	var d zvt.Decoder
	buf := make([]byte, 4096)
	next := func() (zvt.Msg, bool) {
		for {
			if s, raw := d.Next(); s == zvt.Message {
				m, err := zvt.Decode(bytes.Clone(raw))
				return m, err == nil
			}
			n, err := conn.Read(buf)
			if err != nil {
				return zvt.Msg{}, false
			}
			_, _ = d.Write(buf[:n])
		}
	}
	for {
		m, ok := next()
		if !ok {
			return
		}
		lines, known := script[m.Control]
		if !known && m.Control == zvt.Registration {
			lines, known = []string{"060F00"}, true
		}
		if !known {
			continue
		}
		_, _ = conn.Write([]byte{0x80, 0, 0})
		for _, l := range lines {
			late, hasty := strings.CutPrefix(l, "late ")
			if hasty {
				time.Sleep(30 * time.Millisecond)
			}
			raw, _ := hex.DecodeString(late)
			_, _ = conn.Write(raw)
			if hasty {
				continue
			}
			if _, ok := next(); !ok {
				return
			}
		}
	}
}

func ready(t *testing.T, c *zvt.Client) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); c.State() != reader.Ready; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(c.Trouble())
		}
	}
}

const (
	isBooked  = "040F0F27000400000000010087000149" + "0978" // done, 1.00, receipt 1, euro
	isRefused = "040F09276C04000000000100"
	noResult  = "040F0704000000000100"
	isAborted = "061E016C"
)

// What a terminal says after it was told to keep a booking does not make it undone: that is asked for. And a status
// that says no result is no payment.
func TestContradictionIsNotDecided(t *testing.T) {
	for name, tc := range map[string]struct {
		says []string
		open bool
		code byte
	}{
		"booked":                   {[]string{isBooked, "060F00"}, false, 0},
		"booked and aborted":       {[]string{isBooked, isAborted}, true, 0},
		"booked and refused":       {[]string{isBooked, isRefused, "060F00"}, true, 0},
		"aborted without a code":   {[]string{"061E0100"}, false, 0x9A},
		"no result":                {[]string{noResult, "060F00"}, false, 0x9A},
		"refused and then aborted": {[]string{isRefused, isAborted}, false, 0x6C},
	} {
		t.Run(name, func(t *testing.T) {
			c := scripted(t, map[zvt.Control][]string{zvt.Authorisation: tc.says})
			ready(t, c)
			s, err := c.Pay(t.Context(), 1_00, euro, &witness{})
			if (err != nil) != tc.open || errors.Is(err, zvt.ErrUntouched) || err == nil && s.Code != tc.code {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

func TestRefusedRegistrationIsNotReady(t *testing.T) {
	c := scripted(t, map[zvt.Control][]string{zvt.Registration: {isAborted}})
	if _, err := c.Pay(t.Context(), 1_00, euro, &witness{}); !errors.Is(err, zvt.ErrUntouched) {
		t.Errorf("%v", err)
	}
	if c.State() == reader.Ready {
		t.Error("it is ready")
	}
}

// The terminal ends a payment before it has answered the wish to stop it. That answer, when it comes, must not be
// taken for a refusal of the next payment.
func TestAnswerToAnAbortIsNotOneToTheNextCommand(t *testing.T) {
	c := scripted(t, map[zvt.Control][]string{zvt.Authorisation: {"04FF010A", "", isAborted, "late 848300"}})
	ready(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if s, err := c.Pay(ctx, 1_00, euro, &witness{}); err != nil || s.Code != zvt.CodeTimeout {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := c.Pay(t.Context(), 1_00, euro, &witness{}); err == nil || errors.Is(err, zvt.ErrUntouched) {
		t.Errorf("the next payment: %v", err)
	}
}

// A card number never leaves, wherever the terminal writes it; other numbers do.
func TestCardNumbersInTextsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"PAN 4111111111111111 12/25":          "PAN ************1111 12/25",
		"Karte 4111 1111 1111 1111":           "Karte **** **** **** 1111",
		"Nr.:3782-822463-10005":               "Nr.:****-******-*0005",
		"4111111111111111=25121011000":        "************1111=25121011000",
		"06 4111 1111 1111 1111":              "** **** **** **** 1111",
		"Terminal-ID 12345678 Beleg 0001":     "Terminal-ID 12345678 Beleg 0001",
		"VU-Nr. 455600012345":                 "VU-Nr. 455600012345",
		"24.11.2026 11:26 Uhr 12,50 EUR":      "24.11.2026 11:26 Uhr 12,50 EUR",
		"############4321":                    "############4321",
		"0006002900100612340000000000000000ä": "0006002900100612340000000000000000ä",
	} {
		if got := zvt.Text(zvt.FromText(text)); got != want {
			t.Errorf("%q reads %q, want %q", text, got, want)
		}
	}
}
