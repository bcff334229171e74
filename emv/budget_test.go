package emv

import (
	"bytes"
	"testing"
	"time"
)

// slow plays the first tap of an approval with given times, 5 ms where none is
// given, until a step without a recording or the end.
func slow(t *testing.T, times map[byte]time.Duration, altered func(command []byte, answer []byte) []byte) (step Step, sent []byte) {
	t.Helper()
	d := one(t, "an approval", approved)
	s := newStage(d)
	sale := d.Sales[0]
	attempt, _ := Begin(s.terminal, saleOf(sale), s.lookups())
	random := &draws{TerminalDraws: sale.Draws}
	x := attempt.Activate(s.moment(t, sale), random)
	step = x.Start()
	for next := 0; step.Outcome == nil; {
		if step.Store != nil {
			step = x.Stored()
			continue
		}
		command := step.Send.Bytes()
		sent = append(sent, command[1])
		took, ok := times[command[1]]
		if !ok {
			took = 4500 * time.Microsecond
		}
		var answer []byte
		if altered != nil {
			answer = altered(command, sale.Taps[0].Steps[min(next, len(sale.Taps[0].Steps)-1)].RAPDU)
		}
		if answer == nil {
			random.last = command[1]
			answer = sale.Taps[0].Steps[next].RAPDU
			next++
		}
		step = x.Answer(answer, took)
	}
	return step, sent
}

// TestTapBudget: the sum of card time is checked before each command, not only
// before GENERATE AC (scheme 5.9). 4.5 ms of the sum is the ERRD.
func TestTapBudget(t *testing.T) {
	ms := time.Millisecond
	full := map[byte]time.Duration{0xA4: 1000 * ms, 0xA8: 1500 * ms, 0xB2: 495500 * time.Microsecond}
	step, sent := slow(t, full, nil)
	if bytes.Count(sent, []byte{0xB2}) != 2 || step.Outcome.Result != TryAgain || step.Outcome.Reason != ReasonTooEarly {
		t.Errorf("exactly used up by the first record: %X, %+v", sent, step.Outcome)
	}
	full[0xB2] += time.Microsecond
	if _, sent = slow(t, full, nil); bytes.Count(sent, []byte{0xB2}) != 1 {
		t.Errorf("used up by the first record: %X", sent)
	}
}

// TestBudgetSparesTheAnswer: GENERATE AC once sent is not cut short by the
// budget, neither its repetition after 6Cxx nor GET RESPONSE (scheme 5.9).
func TestBudgetSparesTheAnswer(t *testing.T) {
	ms := time.Millisecond
	times := map[byte]time.Duration{0xA4: 1000 * ms, 0xA8: 1500 * ms, 0xAE: 2000 * ms}
	asked, fetched := 0, 0
	step, _ := slow(t, times, func(command, answer []byte) []byte {
		switch command[1] {
		case 0xAE:
			if asked++; asked == 1 {
				return []byte{0x6C, 0x10}
			}
			return []byte{0x61, 0x00}
		case 0xC0:
			fetched++
			return answer
		}
		return nil
	})
	if asked != 2 || fetched != 1 || step.Outcome.Result != Approved {
		t.Errorf("asked %d times, fetched %d, %v (%s)", asked, fetched, step.Outcome.Result, step.Outcome.Detail)
	}
}
