package pn532

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// seen is a frame as a test writes it down.
type seen struct {
	kind kind
	body string // hex
}

// feed gives bytes to a parser in pieces of n and collects the frames.
func feed(p *parser, in []byte, n int) []seen {
	var out []seen
	for len(in) > 0 {
		k := copy(p.space(), in[:min(n, len(in))])
		p.added(k)
		in = in[k:]
		for {
			kind, body := p.next()
			if kind == noFrame {
				break
			}
			out = append(out, seen{kind, hex.EncodeToString(body)})
		}
	}
	return out
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("00", 256)
	for _, tc := range []struct {
		name, in string
		want     []seen
	}{
		{"ack", "0000FF00FF00", []seen{{ackFrame, ""}}},
		{"nack", "0000FFFF0000", []seen{{nackFrame, ""}}},
		{"error", "0000FF01FF7F8100", []seen{{errorFrame, "7f"}}},
		{"answer", "0000FF02FED5151600", []seen{{infoFrame, "d515"}}},
		{"ack and answer at once", "0000FF00FF00 0000FF06FAD50332010607E800", []seen{{ackFrame, ""}, {infoFrame, "d50332010607"}}},
		{"no preamble, no postamble", "00FF02FED51516 00FF00FF", []seen{{infoFrame, "d515"}, {ackFrame, ""}}},
		{"long preamble and noise", "FFFF A55A 000000000000 00FF02FED5151600", []seen{{infoFrame, "d515"}}},
		{"wrong check byte", "0000FF02FED5151700 0000FF00FF00", []seen{{badFrame, "d515"}, {ackFrame, ""}}},
		{"wrong length check", "0000FF02FDD5151600 0000FF00FF00", []seen{{ackFrame, ""}}},
		{"extended", "0000FFFFFF0002FED5151600", []seen{{infoFrame, "d515"}}},
		{"extended, long", "0000FFFFFF0102FDD541" + long + "EA00", []seen{{infoFrame, "d541" + long}}},
		{"too long to be true", "0000FFFFFFFFFF02 0000FF00FF00", []seen{{ackFrame, ""}}},
		{"cut off, then a whole one", "0000FF06FAD503", nil},
	} {
		in := unhex(t, tc.in)
		for _, n := range []int{1, 2, 3, 7, len(in)} {
			var p parser
			got := feed(&p, in, n)
			if len(got) != len(tc.want) {
				t.Errorf("%s in pieces of %d: %v, want %v", tc.name, n, got, tc.want)
				continue
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Errorf("%s in pieces of %d: %v, want %v", tc.name, n, got, tc.want)
				}
			}
		}
	}
}

func TestAppendFrame(t *testing.T) {
	for _, tc := range []struct{ code, data, want string }{
		{"02", "", "0000FF02FED4022A00"},
		{"14", "010000", "0000FF05FBD4140100001700"},
		{"4A", "0200", "0000FF04FCD44A0200E000"},
		{"40", strings.Repeat("00", 253), "0000FFFF01D440" + strings.Repeat("00", 253) + "EC00"},
		{"40", strings.Repeat("00", 254), "0000FFFFFF0100FFD440" + strings.Repeat("00", 254) + "EC00"},
		{"40", strings.Repeat("00", 263), "0000FFFFFF0109F6D440" + strings.Repeat("00", 263) + "EC00"},
	} {
		got := appendFrame(nil, unhex(t, tc.code)[0], unhex(t, tc.data))
		if !bytes.Equal(got, unhex(t, tc.want)) {
			t.Errorf("command %s with %d bytes: %X", tc.code, len(tc.data)/2, got)
		}
	}
}

// facts are frames that others captured; their licences keep them out of this tree.
const facts = "../../../shared/facts/pn532.json"

func TestCapturedFrames(t *testing.T) {
	raw, err := os.ReadFile(facts)
	if err != nil {
		t.Skipf("captured frames of other projects are not beside this tree: %v", err)
	}
	var file struct {
		HSU struct {
			Vectors []struct {
				Name, Command, Ack string
				Data               string   `json:"command_data"`
				Responses          []string `json:"responses"`
				ResponseData       []string `json:"response_data"`
			} `json:"vectors"`
		} `json:"hsu"`
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.HSU.Vectors) < 15 {
		t.Fatalf("%d vectors, %v", len(file.HSU.Vectors), err)
	}
	for _, v := range file.HSU.Vectors {
		if data := unhex(t, v.Data); len(data) > 1 && data[0] == fromHost {
			if got := appendFrame(nil, data[1], data[2:]); !bytes.Equal(got, unhex(t, v.Command)) {
				t.Errorf("%s: %X, want %s", v.Name, got, v.Command)
			}
		}
		if v.Ack != "" && !bytes.Equal(unhex(t, v.Ack), ack) {
			t.Errorf("%s: acknowledgement %s", v.Name, v.Ack)
		}
		for i, r := range v.Responses {
			var p parser
			got := feed(&p, unhex(t, v.Ack+r), 512)
			if len(got) == 0 || !strings.EqualFold(got[len(got)-1].body, v.ResponseData[i]) {
				t.Errorf("%s: %v, want %s", v.Name, got, v.ResponseData[i])
			}
		}
	}
}

func TestTargets(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		kind         byte
		n            int
		iso4, bad    bool
	}{
		{name: "nobody", answer: "00"},
		{name: "phone", answer: "01 01 0004 20 04 08010203 0578807002", n: 1, iso4: true},
		{name: "ticket without ISO 14443-4", answer: "01 01 0400 08 04 82ACB95D", n: 1},
		{name: "two phones", answer: "02 01 0004 20 04 08010203 0578807002 02 0004 20 04 08010204 0578807002", n: 2, iso4: true},
		{name: "phone of type B", kind: typeB, answer: "01 01 50 01020304 00000000 008171 01 00", n: 1, iso4: true},
		{name: "empty", answer: "", bad: true},
		{name: "no card after the count", answer: "01", bad: true},
		{name: "UID cut off", answer: "01 01 0004 20 0A 0801", bad: true},
		{name: "ATS cut off", answer: "01 01 0004 20 04 08010203 0578", bad: true},
		{name: "ATS of no length", answer: "01 01 0004 20 04 08010203 00", bad: true},
		{name: "type B cut off", kind: typeB, answer: "01 01 50 01020304 00000000 008171 05 00", bad: true},
		{name: "three", answer: "03", bad: true},
	} {
		got, err := parseTargets(tc.kind, unhex(t, tc.answer))
		if (err != nil) != tc.bad || len(got) != tc.n || tc.n > 0 && got[0].iso4 != tc.iso4 {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}

func FuzzParser(f *testing.F) {
	for _, s := range []string{"0000FF00FF00", "0000FF01FF7F8100", "0000FF06FAD50332010607E800", "0000FFFFFF0109F6D441", "00FF02FED515", "FFFF00FF00FFFF00"} {
		f.Add(unhex(f, s), 3)
	}
	f.Add(appendFrame(bytes.Clone(ack), inDataExchange, make([]byte, maxData+1)), 64)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		n = max(1, min(n, 1024))
		var p, q parser
		got, whole := feed(&p, in, n), feed(&q, in, 1)
		if len(got) != len(whole) {
			t.Fatalf("in pieces of %d %d frames, byte by byte %d", n, len(got), len(whole))
		}
		for i := range got {
			if got[i] != whole[i] {
				t.Fatalf("frame %d: %v, byte by byte %v", i, got[i], whole[i])
			}
			// A frame that was found can be made again, and is found again.
			body, _ := hex.DecodeString(got[i].body)
			if got[i].kind == infoFrame && len(body) >= 2 && body[0] == fromHost {
				var r parser
				if again := feed(&r, appendFrame(nil, body[1], body[2:]), 512); len(again) != 1 || again[0] != got[i] {
					t.Fatalf("%v became %v", got[i], again)
				}
			}
		}
		if p.to-p.from > maxFrame {
			t.Fatalf("the parser keeps %d bytes", p.to-p.from)
		}
		if kind, _ := p.next(); kind != noFrame {
			t.Fatal("a frame is left")
		}
	})
}

// stream is what a chip sends: an acknowledgement before each long answer.
func stream(frames int) []byte {
	var out []byte
	for range frames {
		out = append(out, ack...)
		out = appendFrame(out, inDataExchange+1, make([]byte, maxData+1))
	}
	return out
}

func BenchmarkParser(b *testing.B) {
	in := stream(64)
	var p parser
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := in; len(rest) > 0; {
			n := copy(p.space(), rest)
			p.added(n)
			rest = rest[n:]
			for {
				if kind, _ := p.next(); kind == noFrame {
					break
				}
			}
		}
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	data := make([]byte, maxData)
	head := []byte{1}
	out := make([]byte, 0, maxFrame)
	b.SetBytes(maxData)
	b.ReportAllocs()
	for b.Loop() {
		out = appendFrame(out[:0], inDataExchange, head, data)
	}
}

func TestSum(t *testing.T) {
	b := make([]byte, 6000)
	for i := range b {
		b[i] = byte(i*7 + i/251)
	}
	b[17] = 0xFF
	for i := range b {
		b[i] |= 0x81
	}
	for _, n := range []int{0, 1, 7, 8, 9, 264, 265, 2040, 2048, 6000} {
		var want byte
		for _, c := range b[:n] {
			want += c
		}
		if got := sum(b[:n]); got != want {
			t.Errorf("sum of %d bytes is %02X, want %02X", n, got, want)
		}
	}
}

func TestNothingAllocatedPerFrame(t *testing.T) {
	in := stream(1)
	var p parser
	out := make([]byte, 0, maxFrame)
	if n := testing.AllocsPerRun(100, func() {
		out = appendFrame(out[:0], inDataExchange, in[:maxData])
		p.added(copy(p.space(), in))
		for k := ackFrame; k != noFrame; {
			k, _ = p.next()
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
