package zvt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The folder of what others have recorded; their licences keep it out of this tree.
const facts = "../../../shared/facts/"

func readFacts(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(facts + name)
	if err != nil {
		t.Skipf("the messages that other projects recorded are not beside this tree: %v", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func decodeAll(t *testing.T, serial bool, line []byte, piece int) (out [][]byte) {
	t.Helper()
	d := Decoder{Serial: serial}
	for len(line) > 0 {
		n := min(piece, len(line))
		if _, err := d.Write(line[:n]); err != nil {
			t.Fatal(err)
		}
		line = line[n:]
		for {
			s, m := d.Next()
			if s == Nothing {
				break
			}
			if s == Message {
				out = append(out, bytes.Clone(m))
			}
		}
	}
	return out
}

func TestRecordedFrames(t *testing.T) {
	var frames []struct {
		Source, Transport, Hex, Why string
		Parses                      bool `json:"parses_completely"`
		Decoded                     map[string]any
	}
	readFacts(t, "zvt-frames.json", &frames)
	whole, refused := 0, 0
	for _, f := range frames {
		raw := unhex(t, f.Hex)
		apdu := raw
		if f.Transport == "serial" {
			got := decodeAll(t, true, raw, 1)
			if len(got) != 1 {
				t.Fatalf("%s: %d messages", f.Hex, len(got))
			}
			apdu = got[0]
			if again := AppendFrame(nil, apdu); !bytes.Equal(again, raw) {
				t.Errorf("frame %X, want %X", again, raw)
			}
		}
		m, err := Decode(apdu)
		switch {
		case err == nil:
			whole++
			again, err := m.Append(nil)
			if err != nil || !bytes.Equal(again, apdu) {
				t.Errorf("encoded %X, %v\nwant    %X", again, err, apdu)
			}
		default:
			refused++
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), "byte ") {
				t.Errorf("%s: %v has no offset", f.Hex, err)
			}
		}
		// 06 0F 01 DC holds a status and no bitmap: a decoder of bitmaps alone refuses it.
		if err == nil != f.Parses && f.Hex != "060F01DC" {
			t.Errorf("%s: %v; its note says %q", f.Hex, err, f.Why)
		}
		if bmps, ok := f.Decoded["bmp"]; ok && err == nil && f.Hex != "060F01DC" && !equalFields(m, bmps) {
			t.Errorf("%s: fields %s, want %v", f.Hex, dump(m), bmps)
		}
	}
	t.Logf("%d messages decoded to the last byte and encoded back, %d refused with their offset", whole, refused)
	if whole != 29 || refused != 3 {
		t.Errorf("%d whole and %d refused, want 29 and 3", whole, refused)
	}
}

func TestRecordedExchanges(t *testing.T) {
	var exchanges []struct {
		Name  string
		Steps []struct {
			Hex     string
			Serial  string `json:"serial_hex"`
			Decoded map[string]any
		}
	}
	readFacts(t, "zvt-exchanges.json", &exchanges)
	n := 0
	for _, x := range exchanges {
		var tcp, serial []byte
		for _, s := range x.Steps {
			n++
			apdu := unhex(t, s.Hex)
			m, err := Decode(apdu)
			if err != nil {
				t.Errorf("%s: %s: %v", x.Name, s.Hex, err)
				continue
			}
			if again, err := m.Append(nil); err != nil || !bytes.Equal(again, apdu) {
				t.Errorf("%s: encoded %X, %v", x.Name, again, err)
			}
			frame := AppendFrame(nil, apdu)
			if s.Serial != "" && !bytes.Equal(frame, unhex(t, s.Serial)) {
				t.Errorf("%s: frame %X, want %s", x.Name, frame, s.Serial)
			}
			if bmps, ok := s.Decoded["bmp"]; ok && !equalFields(m, bmps) {
				t.Errorf("%s: fields %s, want %v", x.Name, dump(m), bmps)
			}
			tcp, serial = append(tcp, apdu...), append(append(serial, ack), frame...)
		}
		for _, piece := range []int{1, 3, 100000} {
			a, b := decodeAll(t, false, tcp, piece), decodeAll(t, true, serial, piece)
			if len(a) != len(x.Steps) || !reflect.DeepEqual(a, b) {
				t.Errorf("%s in pieces of %d: %d messages by TCP, %d by the serial line, want %d", x.Name, piece, len(a), len(b), len(x.Steps))
			}
		}
	}
	if n < 30 {
		t.Errorf("%d steps", n)
	}
}

// dump writes fields as the recorded ones are written.
func dump(m Msg) string {
	b, _ := json.Marshal(shape(m))
	return string(b)
}

func shape(m Msg) []any {
	out := []any{}
	for _, f := range m.Fields {
		if f.Tag == container {
			out = append(out, []any{"06", shapeTLV(f.TLV)})
			continue
		}
		out = append(out, []any{strings.ToUpper(hex.EncodeToString([]byte{f.Tag})), strings.ToUpper(hex.EncodeToString(f.Value))})
	}
	return out
}

func shapeTLV(list []TLV) []any {
	out := []any{}
	for _, t := range list {
		tag := []byte{byte(t.Tag >> 8), byte(t.Tag)}
		if tag[0] == 0 {
			tag = tag[1:]
		}
		var value any = strings.ToUpper(hex.EncodeToString(t.Value))
		if tag[0]&0x20 != 0 {
			value = shapeTLV(t.TLV)
		}
		out = append(out, []any{strings.ToUpper(hex.EncodeToString(tag)), value})
	}
	return out
}

func equalFields(m Msg, want any) bool {
	a, _ := json.Marshal(want)
	return dump(m) == string(a)
}

// Messages of our own making, each with what must come out.
func TestMessages(t *testing.T) {
	for _, tc := range []struct{ name, hex, fields string }{
		{"authorisation", "06010A 04 000000001250 49 0978", `[["04","000000001250"],["49","0978"]]`},
		{"masked card number", "040F10 27 00 22 F0F8 67EEEEEEEEEE1234 87 0042", `[["27","00"],["22","67EEEEEEEEEE1234"],["87","0042"]]`},
		{"text and container", "040F16 27 05 3C F0F0F4 41426162 06 09 24 04 07 02 6F6B 1F12 00", `[["27","05"],["3C","41426162"],["06",[["24",[["07","6F6B"]]],["1F12",""]]]]`},
		{"nothing", "060F00", `[]`},
	} {
		raw := unhex(t, tc.hex)
		raw[2] = byte(len(raw) - 3)
		m, err := Decode(raw)
		if err != nil || dump(m) != tc.fields {
			t.Errorf("%s: %s, %v", tc.name, dump(m), err)
			continue
		}
		if again, err := m.Append(nil); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s: %X, %v", tc.name, again, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, tc := range []struct {
		name, hex string
		offset    int
	}{
		{"empty", "", 0},
		{"no length", "0601", 2},
		{"cut off", "06010A 04 00", 5},
		{"bytes behind", "060F00 00", 3},
		{"long length cut off", "06D3FF2D", 4},
		{"unknown bitmap", "040F03 27 00 DC", 5},
		{"fixed cut off", "040F03 04 0000", 6},
		{"length of a text", "040F04 3C F0FA F1", 4},
		{"text cut off", "040F05 3C F0F0F5 41", 8},
		{"container cut off", "040F03 06 05 24", 6},
		{"length of a container", "040F02 06 83", 4},
		{"tag cut off", "040F03 06 01 1F", 6},
		{"long tag", "040F05 06 03 1F81 00", 6},
		{"data object cut off", "040F05 06 03 07 05 41", 7},
		{"object sticks out of its parent", "040F07 06 05 24 02 07 02 41", 9},
	} {
		_, err := Decode(unhex(t, tc.hex))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != tc.offset {
			t.Errorf("%s: %v, want offset %d", tc.name, err, tc.offset)
		}
	}
	deep := []byte{0x07, 0x00}
	for range maxDepth {
		deep = append(appendLength([]byte{0x24}, len(deep), 0), deep...)
	}
	raw, _ := Msg{Control: StatusInfo, Head: append(appendLength([]byte{0x06}, len(deep), 0), deep...)}.Append(nil)
	if _, err := Decode(raw); err == nil {
		t.Error("data objects of any depth are taken")
	}
}

func TestSerialLine(t *testing.T) {
	good := AppendFrame(nil, unhex(t, "06D1041010 1003")) // a text with 10 in it, and what looks like the end
	wrong := bytes.Clone(good)
	wrong[len(wrong)-1] ^= 1
	d := Decoder{Serial: true}
	for _, step := range []struct {
		name string
		in   []byte
		want Signal
	}{
		{"acknowledged", []byte{ack}, Acknowledge}, {"refused", []byte{nak}, Refuse},
		{"doubled 10", good, Message}, {"noise before", append([]byte{0x00, 0xFF, 0x10, 0x55}, good...), Message},
		{"wrong check sum", wrong, Damaged}, {"and a good one", good, Message},
		{"cut off by the next", append([]byte{dle, stx, 0x06}, good...), Damaged}, {"which is whole", nil, Message},
		{"10 and something", []byte{dle, stx, 0x06, dle, 0x55}, Damaged},
		{"half", good[:len(good)-1], Nothing}, {"and the rest", good[len(good)-1:], Message},
	} {
		d.Write(step.in)
		got, m := d.Next()
		if got != step.want || got == Message && !bytes.Equal(m, unhex(t, "06D10410101003")) {
			t.Errorf("%s: signal %d, %X, want %d", step.name, got, m, step.want)
		}
	}
}

func TestCheckSum(t *testing.T) {
	const check = 0x2189 // of "123456789", as catalogues of CRC-16/KERMIT have it
	if got := crcOf(0, []byte("123456789")); got != check {
		t.Errorf("%04X, want %04X", got, check)
	}
	b := make([]byte, 100)
	for i := range b {
		b[i] = byte(i * 37)
		var slow uint16
		for _, x := range b[:i] {
			slow = crcOf(slow, []byte{x})
		}
		if got := crcOf(0, b[:i]); got != slow {
			t.Errorf("of %d bytes %04X, byte by byte %04X", i, got, slow)
		}
	}
}

func TestText(t *testing.T) {
	if got := Text(unhex(t, "42 65 74 72 84 67 65 1B 0A E1 81 94 9A D5")); got != "Beträge\nßüöÜ╒" {
		t.Errorf("%q", got)
	}
	if got := FromText("Beträge ß 中"); !bytes.Equal(got, unhex(t, "42 65 74 72 84 67 65 20 E1 20 3F")) {
		t.Errorf("%X", got)
	}
	all := make([]byte, 128)
	for i := range all {
		all[i] = byte(0x80 + i)
	}
	if got := FromText(Text(all)); !bytes.Equal(got, all) {
		t.Errorf("%X", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"060F00", "06010A04000000001250490978", "040F07276C2929001006", "04FF140A010610240E070C5465737420842094208120E1", "06D3FF0600060425020700", "060F0BF0F0F7322E31342E313500"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := Decode(in)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(in) || m.Control != 0 {
				t.Fatalf("%v beside %+v", err, m)
			}
			return
		}
		again, err := m.Append(nil)
		if err != nil || !bytes.Equal(again, in) {
			t.Fatalf("%X became %X, %v", in, again, err)
		}
		StatusOf(m)
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{ack, nak, dle, stx, 6, 0x0F, 0, dle, etx, 1, 2}, 1, true)
	f.Add(AppendFrame(AppendFrame(nil, []byte{0x06, 0xD1, 2, dle, dle}), []byte{0x80, 0, 0}), 3, true)
	f.Add([]byte{0x80, 0, 0, 0x06, 0xD3, 0xFF, 1, 0, 6}, 2, false)
	f.Fuzz(func(t *testing.T, in []byte, piece int, serial bool) {
		piece = max(1, min(piece, 4096))
		whole, pieces := decodeAll(t, serial, in, len(in)+1), decodeAll(t, serial, in, piece)
		if !reflect.DeepEqual(whole, pieces) {
			t.Fatalf("%d messages, in pieces of %d %d", len(whole), piece, len(pieces))
		}
		for _, m := range whole {
			line := m
			if serial {
				line = AppendFrame(nil, m)
			}
			if again := decodeAll(t, serial, line, 7); len(again) != 1 || !bytes.Equal(again[0], m) {
				t.Fatalf("%X became %X", m, again)
			}
		}
	})
}

// receipts is what a long print block and its neighbours are on the line.
func receipts() []byte {
	line := TLV{Tag: tagText, Value: append(bytes.Repeat([]byte{'='}, 23), dle)}
	block := Msg{Control: PrintBlock, Fields: []Field{{Tag: container, TLV: []TLV{{Tag: tagLines, TLV: slices.Repeat([]TLV{line}, 40)}}}}}
	out, _ := block.Append(nil)
	return out
}

func BenchmarkDecoder(b *testing.B) {
	for name, serial := range map[string]bool{"serial": true, "tcp": false} {
		b.Run(name, func(b *testing.B) {
			in := receipts()
			if serial {
				in = AppendFrame(nil, in)
			}
			in = bytes.Repeat(in, 16)
			d := Decoder{Serial: serial}
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				d.Write(in)
				for s := Message; s != Nothing; {
					s, _ = d.Next()
				}
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	in := receipts()
	out := make([]byte, 0, 2*len(in)+6)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		out = AppendFrame(out[:0], in)
	}
}

func TestNothingAllocatedPerFrame(t *testing.T) {
	in := AppendFrame(nil, receipts())
	d := Decoder{Serial: true}
	if n := testing.AllocsPerRun(100, func() {
		d.Write(in)
		for s := Message; s != Nothing; {
			s, _ = d.Next()
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
