package emv

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tamper plays the first tap of an approval with the answer to one instruction
// altered, and stops where the kernel leaves the recording.
func tamper(t *testing.T, ins byte, alter func([]byte) []byte) *Outcome {
	t.Helper()
	d := one(t, "an approval", approved)
	s := newStage(d)
	sale := d.Sales[0]
	attempt, _ := Begin(s.terminal, saleOf(sale), s.lookups())
	x := attempt.Activate(s.moment(t, sale), &endless{})
	step, next := x.Start(), 0
	for step.Outcome == nil {
		if step.Store != nil {
			step = x.Stored()
			continue
		}
		answer := []byte{0x6A, 0x82}
		if next < len(sale.Taps[0].Steps) && sale.Taps[0].Steps[next].CAPDU[1] == step.Send.Bytes()[1] {
			answer = bytes.Clone(sale.Taps[0].Steps[next].RAPDU)
			if step.Send.Bytes()[1] == ins {
				answer = alter(answer)
			}
			next++
		}
		step = x.Answer(answer, 5*time.Millisecond)
	}
	return step.Outcome
}

// TestAIPBits: without evidence, or without the channel, an application is not
// for this kernel (scheme 5.3 S3), whichever of the two bits is missing.
func TestAIPBits(t *testing.T) {
	for _, bit := range []byte{aipEvidence, aipChannel} {
		o := tamper(t, 0xA8, func(b []byte) []byte {
			at := bytes.Index(b, []byte{0x82, 0x02})
			b[at+2] &^= bit
			return b
		})
		if o.Result != End || o.Reason != ReasonNoWallet || o.Message != MsgOtherCard {
			t.Errorf("AIP without %02X: %v %02X", bit, o.Result, byte(o.Reason))
		}
	}
}

// TestEndlessOccurrences: a phone that always has another occurrence of an AID,
// and takes no time, still comes to an end.
func TestEndlessOccurrences(t *testing.T) {
	d := one(t, "an approval", approved)
	s := newStage(d)
	attempt, _ := Begin(s.terminal, saleOf(d.Sales[0]), s.lookups())
	x := attempt.Activate(s.moment(t, d.Sales[0]), &endless{})
	step, n := x.Start(), 0
	for step.Outcome == nil {
		if n++; n > maxExchanges+1 {
			t.Fatal("the tap does not end")
		}
		step = x.Answer([]byte{0x90, 0x00}, 0)
	}
	if step.Outcome.Result != TryAgain || n < maxExchanges/2 {
		t.Errorf("%v after %d commands", step.Outcome.Result, n)
	}
}

// TestForbiddenInDirectory: an account number in the directory costs all of
// its entries, as it costs the answer everywhere else (scheme 4.2).
func TestForbiddenInDirectory(t *testing.T) {
	d := one(t, "an approval", approved)
	s := newStage(d)
	attempt, _ := Begin(s.terminal, saleOf(d.Sales[0]), s.lookups())
	x := attempt.Activate(s.moment(t, d.Sales[0]), &endless{})
	x.Start()
	clean := []byte{0x6F, 0x0F, 0x61, 0x08, 0x4F, 0x06, 0xF0, 0x54, 0x41, 0x50, 0x4B, 0x01, 0xC1, 0x03, 1, 2, 3}
	clean[3], clean[5] = 0x09, 0x07
	clean = append(clean[:12], append([]byte{0x01}, clean[12:]...)...)
	clean[1]++
	step := x.Answer(append(clean, 0x90, 0x00), 0)
	if step.Send == nil || !bytes.HasPrefix(step.Send.Bytes()[5:], clean[6:13]) {
		t.Fatalf("clean directory: %+v", step)
	}
	x = attempt.Activate(s.moment(t, d.Sales[0]), &endless{})
	x.Start()
	clean[13] = 0x5A
	step = x.Answer(append(clean, 0x90, 0x00), 0)
	if step.Send == nil || !bytes.Equal(step.Send.Bytes()[5:len(step.Send.Bytes())-1], s.terminal.AIDs[0].AID) {
		t.Errorf("directory with an account number: %+v", step)
	}
}

// TestForeignCards taps the cards of other schemes: none of them is a wallet,
// and none is ever approved.
func TestForeignCards(t *testing.T) {
	dir := os.Getenv("TAPKEEPER_EMV_VECTORS")
	if dir == "" {
		t.Skip("TAPKEEPER_EMV_VECTORS names no folder of foreign EMV vectors")
	}
	b, err := os.ReadFile(filepath.Join(dir, "transcripts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Transcripts []struct {
			ID        string
			Exchanges []struct{ RAPDU string }
		}
	}
	if err := json.Unmarshal(b, &f); err != nil || len(f.Transcripts) == 0 {
		t.Fatalf("%d transcripts: %v", len(f.Transcripts), err)
	}
	d := one(t, "an approval", approved)
	for _, tr := range f.Transcripts {
		for first := range tr.Exchanges {
			s := newStage(d)
			attempt, _ := Begin(s.terminal, saleOf(d.Sales[0]), s.lookups())
			at := first
			o := exhaust(t, attempt.Activate(s.moment(t, d.Sales[0]), &endless{}), func() []byte {
				answer, _ := hex.DecodeString(tr.Exchanges[at%len(tr.Exchanges)].RAPDU)
				at++
				return answer
			})
			if o.Result == Approved || o.Result == Online {
				t.Errorf("%s from answer %d: %v", tr.ID, first, o.Result)
			}
		}
	}
}
