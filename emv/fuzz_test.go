package emv

import (
	"bytes"
	"testing"
	"time"

	"tapkeeper/emv/emvtest"
)

// endless makes random bytes that are never used up and never repeat soon.
type endless struct{ n byte }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		e.n++
		p[i] = e.n
	}
	return len(p), nil
}

// maxSteps bounds a tap in the fuzz test: the exchanges, the storing, the end.
const maxSteps = maxExchanges + 16

// kernelSeeds are the answers of every seventh dialogue's first tap.
func kernelSeeds(tb testing.TB) (all [][]byte) {
	tb.Helper()
	list := dialogues(tb)
	for i := 0; i < len(list); i += 7 {
		all = append(all, script(list[i].Sales[0].Taps[0].Steps))
	}
	return all
}

// FuzzKernel asserts that a phone of any bytes is brought to an outcome in a
// bounded number of steps, without a panic, and never to an approval. The
// input is cut into answers by length bytes; when it runs out it starts again.
func FuzzKernel(f *testing.F) {
	list := dialogues(f)
	for i, b := range kernelSeeds(f) {
		f.Add(b, uint8(7*i))
	}
	f.Add([]byte{2, 0x61, 0x00}, uint8(0))
	f.Add([]byte{2, 0x90, 0x00}, uint8(0))
	f.Fuzz(func(t *testing.T, input []byte, which uint8) {
		d := list[int(which)%len(list)]
		s := newStage(d)
		attempt, refused := Begin(s.terminal, saleOf(d.Sales[0]), s.lookups())
		if refused != nil {
			return
		}
		random := &endless{n: which}
		for taps := 0; ; taps++ {
			if taps == maxTries {
				t.Fatal("the sale does not end")
			}
			rest := input
			o := exhaust(t, attempt.Activate(s.moment(t, d.Sales[0]), random), func() []byte {
				var answer []byte
				answer, rest = cut(rest)
				if len(rest) == 0 {
					rest = input
				}
				return answer
			})
			if o.Result == Approved || o.Result == Online {
				t.Fatal("a phone without a key got an approval")
			}
			if o.Final() {
				return
			}
		}
	})
}

func exhaust(t *testing.T, x *Activation, answer func() []byte) *Outcome {
	step := x.Start()
	for n := 0; step.Outcome == nil; n++ {
		if n > maxSteps {
			t.Fatal("the tap does not end")
		}
		if step.Store != nil {
			step = x.Stored()
			continue
		}
		if step.Work != nil {
			step.Work()
		}
		step = x.Answer(answer(), 0) // no card time: only the kernel's own limits hold
	}
	return step.Outcome
}

func cut(b []byte) (head, rest []byte) {
	if len(b) == 0 {
		return nil, nil
	}
	n := min(int(b[0]), len(b)-1)
	return b[1 : 1+n], b[1+n:]
}

func script(steps []emvtest.Step) []byte {
	var b bytes.Buffer
	for _, s := range steps {
		n := min(len(s.RAPDU), 0xFF)
		b.WriteByte(byte(n))
		b.Write(s.RAPDU[:n])
	}
	return b.Bytes()
}

// TestMutatedDialogues plays recorded taps with one byte of one answer changed:
// never a panic, never an approval with a record that differs from what the
// phone signed.
func TestMutatedDialogues(t *testing.T) {
	d := one(t, "an approval", approved)
	sale := d.Sales[0]
	steps := sale.Taps[0].Steps
	changed, same := 0, 0
	for i, st := range steps {
		for at := 0; at < len(st.RAPDU); at += 3 {
			answer := bytes.Clone(st.RAPDU)
			answer[at] ^= 0x11
			s := newStage(d)
			attempt, _ := Begin(s.terminal, saleOf(sale), s.lookups())
			random := &draws{TerminalDraws: sale.Draws}
			o := mutated(t, attempt.Activate(s.moment(t, sale), random), random, steps, i, answer)
			if o != nil && o.Result == Approved {
				same++ // a byte that nobody signs: the directory, the label, relay entropy's own copy
				if i > 1 {
					t.Errorf("answer %d, byte %d changed, and approved", i, at)
				}
				continue
			}
			changed++
		}
	}
	if changed == 0 {
		t.Error("no change mattered")
	}
	t.Logf("%d changes refused, %d harmless", changed, same)
}

func mutated(t *testing.T, x *Activation, random *draws, steps []emvtest.Step, which int, answer []byte) *Outcome {
	step, next := x.Start(), 0
	for step.Outcome == nil {
		if step.Store != nil {
			step = x.Stored()
			continue
		}
		if next == len(steps) || step.Send.Bytes()[1] != steps[next].CAPDU[1] {
			return nil // it went another way than the recording
		}
		rapdu := []byte(steps[next].RAPDU)
		if next == which {
			rapdu = answer
		}
		random.last = steps[next].CAPDU[1]
		next++
		step = x.Answer(rapdu, 5*time.Millisecond)
	}
	return step.Outcome
}
