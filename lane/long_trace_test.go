package lane_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/reader/readertest"
	"tapkeeper/terminal"
)

// shaky is a phone that is taken away before GENERATE AC, and held on at last.
type shaky struct {
	readertest.Phone
	leave bool
}

func (p shaky) Transmit(command []byte) []byte {
	if p.leave && command[0] == 0x80 && command[1] == 0xAE {
		return nil
	}
	answer := p.Phone.Transmit(command)
	if bytes.Contains(command, []byte("2PAY.SYS.DDF01")) && len(answer) > 2 {
		return wordy(answer)
	}
	return answer
}

// wordy fills the answer to SELECT PPSE with objects that nobody knows, as the
// standards allow.
func wordy(answer []byte) []byte {
	body, sw := answer[:len(answer)-2], answer[len(answer)-2:]
	at := bytes.Index(body, []byte{0xBF, 0x0C})
	directory := body[at+3:] // it is the last object, of less than 128 bytes
	for len(directory) < 225 {
		directory = append(bytes.Clone(directory), 0xC1, 0x00)
	}
	directory = append([]byte{0xBF, 0x0C, 0x81, byte(len(directory))}, directory...)
	proprietary := append([]byte{0xA5, 0x81, byte(len(directory))}, directory...)
	name := append([]byte{0x84, 0x0E}, "2PAY.SYS.DDF01"...)
	fci := append(name, proprietary...)
	fci = append([]byte{0x6F, 0x81, byte(len(fci))}, fci...)
	return append(fci, sw...)
}

// However long the dialogue of a sale was, its outcome is kept: here the phone
// is taken away four times before it pays (scheme 3.6 allows five taps).
func TestOutcomeOfLongDialogue(t *testing.T) {
	c := newCourt(t)
	p, err := c.lane.Terminal().Open(t.Context(), terminal.Request{
		OrderRef: "long", AmountMinor: 1_00, Currency: lanetest.Currency, Offline: terminal.OfflineAllow,
	})
	if err != nil {
		t.Fatal(err)
	}
	for try := range 5 {
		who := shaky{c.store.Phones[rich.ID].Ready(), try < 4}
		for until := time.Now().Add(10 * time.Second); c.store.Field.Present(who) != nil && time.Now().Before(until); {
			time.Sleep(20 * time.Millisecond)
		}
		if try < 4 {
			c.store.Field.Wait()
		}
	}
	got := p
	for until := time.Now().Add(10 * time.Second); !got.State.Ended() && time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if got, err = c.lane.Terminal().Payment(p.ID); err != nil {
			t.Fatal(err)
		}
	}
	c.store.Field.Remove()
	if got.State != terminal.Stored && got.State != terminal.Approved {
		t.Errorf("payment is %s %s", got.State, got.Settlement)
	}
	trace, err := c.lane.Terminal().Trace(p.ID)
	raw, _ := json.Marshal(trace)
	t.Logf("%d exchanges, %d bytes, %v", len(trace), len(raw), err)
}
