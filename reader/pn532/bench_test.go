package pn532

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/pn532sim"
	"tapkeeper/reader/serialport"
)

// recorded is what a tap is on the line: each frame of the host with what the chip answered.
type recorded struct {
	frames, replies [][]byte
	answer          map[string][]byte
}

// tapCommands are as many and as long as those of a payment.
func tapCommands() [][]byte {
	commands := [][]byte{selectPPSE}
	for _, n := range []int{13, 60, 16, 120, 98, 40, 9} {
		commands = append(commands, append([]byte{0x80, byte(n), 0x00, 0x00}, make([]byte, n)...))
	}
	return commands
}

// record makes the frames of a tap that found its phone at once, and its answers, by a chip that is asked by hand.
func record(b *testing.B) recorded {
	chip := pn532sim.New()
	chip.Present(&readertest.Loop{})
	r := recorded{answer: map[string][]byte{}}
	in, out := make(chan []byte), &pipe{make(chan []byte, 8)}
	done := make(chan struct{})
	go func() { defer close(done); chip.Serve(feeder{in, out}) }()
	defer func() { close(in); <-done; chip.Remove() }()
	ask := func(keep bool, code byte, parts ...[]byte) {
		frame := appendFrame(nil, code, parts...)
		in <- append(make([]byte, 16), frame...) // the zeros wake it
		reply := out.whole()
		r.answer[string(frame)] = reply
		if keep {
			r.frames, r.replies = append(r.frames, frame), append(r.replies, reply)
		}
	}
	ask(false, samConfiguration, []byte{1, 0, 0})
	ask(false, getFirmwareVersion)
	for _, s := range [][]byte{{setParameters, 0x14}, {rfConfiguration, 5, 0, 1, 0}, {rfConfiguration, 2, 0, 0x0B, 0x0A}, {rfConfiguration, 4, 0}, {inRelease, 0}} {
		ask(false, s[0], s[1:])
	}
	ask(true, rfConfiguration, fieldOff)
	ask(true, inListPassiveTarget, []byte{1, typeB, 0})
	ask(true, inListPassiveTarget, []byte{2, typeA})
	for _, c := range tapCommands() {
		ask(true, inDataExchange, []byte{1}, c)
	}
	return r
}

// pipe is what the chip writes, collected until an answer is whole.
type pipe struct{ got chan []byte }

type feeder struct {
	in  chan []byte
	out *pipe
}

func (f feeder) Read(b []byte) (int, error) {
	frame, ok := <-f.in
	if !ok {
		return 0, fmt.Errorf("the end")
	}
	return copy(b, frame), nil
}

func (f feeder) Write(b []byte) (int, error) {
	f.out.got <- bytes.Clone(b)
	return len(b), nil
}

func (p *pipe) whole() []byte {
	var all []byte
	for !bytes.Contains(all, []byte{0xFF}) || !hasAnswer(all) {
		all = append(all, <-p.got...)
	}
	return all
}

func hasAnswer(b []byte) bool {
	var p parser
	for _, s := range feed(&p, b, len(b)) {
		if s.kind == infoFrame {
			return true
		}
	}
	return false
}

// replay answers each frame with what was recorded, by looking it up: what it costs is the same for both.
func replay(b *testing.B, r recorded) *line.PTY {
	l, err := line.OpenPTY("")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		buf := make([]byte, 1024)
		for n := 0; ; {
			k, err := l.Read(buf[n:])
			if err != nil {
				return
			}
			n += k
			frame := buf[:n]
			if i := bytes.Index(frame, []byte{0x00, 0x00, 0xFF}); i > 0 && bytes.Count(frame[:i], []byte{0x55}) > 0 {
				frame = bytes.TrimLeft(frame[2:], "\x00")
				frame = append([]byte{0, 0}, frame...)
			}
			if reply, ok := r.answer[string(frame)]; ok {
				l.Write(reply)
				n = 0
			} else if n == len(buf) || bytes.Equal(frame, ack) {
				n = 0
			}
		}
	}()
	return l
}

// BenchmarkTap compares a whole tap of the driver with the bare replay of the same frames over the same pty, taken in
// turns, by their medians.
func BenchmarkTap(b *testing.B) {
	rec := record(b)
	l := replay(b, rec)
	r := open(b, l.Path(), Options{})
	commands := tapCommands()
	wantState(b, r, reader.Ready)
	buf := make([]byte, 1024)
	bare := func() time.Duration {
		r.turn.Lock()
		defer r.turn.Unlock()
		port := r.chip.line.(*serialport.Port)
		_ = port.SetReadDeadline(time.Now().Add(5 * time.Second))
		start := time.Now()
		for i, frame := range rec.frames {
			if _, err := port.Write(frame); err != nil {
				b.Fatal(err)
			}
			for n := 0; n < len(rec.replies[i]); {
				k, err := port.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				n += k
			}
		}
		return time.Since(start)
	}
	whole := func() time.Duration {
		start := time.Now()
		card, err := r.Await(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range commands {
			if _, _, err := card.Transmit(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		took := time.Since(start)
		card.Release(0)
		for lit := true; lit; time.Sleep(50 * time.Microsecond) { // the field goes off beside, and not in the next measure
			r.turn.Lock()
			lit = r.lit
			r.turn.Unlock()
		}
		return took
	}
	for range 200 {
		whole()
		bare()
	}
	var taps, replays []time.Duration
	for b.Loop() {
		replays = append(replays, bare())
		r.turn.Lock()
		r.lit = true // so that the frame that switches the field off is in the tap, and not in the pause behind it
		r.turn.Unlock()
		taps = append(taps, whole())
	}
	slices.Sort(taps)
	slices.Sort(replays)
	tap, bareTap := taps[len(taps)/2], replays[len(replays)/2]
	b.ReportMetric(float64(tap.Microseconds()), "tap-µs")
	b.ReportMetric(float64(bareTap.Microseconds()), "bare-µs")
	b.ReportMetric(float64(tap)/float64(bareTap), "tap/bare")
	b.ReportMetric(0, "ns/op")
}
