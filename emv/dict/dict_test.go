package dict

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
)

func TestDOLVectors(t *testing.T) {
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.DOL) == 0 {
		t.Fatal("the vectors hold no DOL")
	}
	for i, c := range p.DOL {
		values := map[tlv.Tag][]byte{}
		for _, e := range table {
			if v, ok := c.Values[e.Tag.String()]; ok {
				values[e.Tag] = v
			}
		}
		check := CheckPDOL
		if c.Which == "CDOL1" {
			check = CheckCDOL1
		}
		d, err := tlv.ParseDOL(c.DOL)
		if err == nil {
			err = check(d)
		}
		var out []byte
		if err == nil {
			out, err = Fill(d, values)
		}
		if (err == nil) != (c.Out != nil) || !bytes.Equal(out, c.Out) {
			t.Errorf("case %d: %X (%v), want %X", i, out, err, []byte(c.Out))
		}
	}
}

func TestTable(t *testing.T) {
	seen := map[place]bool{}
	for _, e := range table {
		if seen[place{e.Kernel, e.Tag}] || e.Name == "" || e.Step < 1 || e.Max < e.Min {
			t.Errorf("row %v %q", e.Tag, e.Name)
		}
		seen[place{e.Kernel, e.Tag}] = true
		if tlv.Template(e.Tag) && e.Format != Constructed || Forbidden(e.Tag) && (e.Kernel == Scheme || e.Log != Sealed) {
			t.Errorf("row %v %q: a template or an account number", e.Tag, e.Name)
		}
		if _, known := FromPhone(e.Tag); known && e.Kernel == Book {
			if _, ours := Find(e.Tag); !ours {
				t.Errorf("row %v of the books is known to the kernel", e.Tag)
			}
		}
		if e.Signed && e.Source != FromRecord || (e.PDOL || e.CDOL1) && (e.Source != FromTerminal || e.Kernel != Scheme) {
			t.Errorf("row %v: columns do not fit together", e.Tag)
		}
	}
	if _, ok := FromPhone(0x9F02); ok {
		t.Error("a terminal element counts as known in a phone's answer (scheme 0.1 rule 5)")
	}
	afl, _ := Find(0x94)
	for n, ok := range map[int]bool{0: false, 4: true, 5: false, 32: true, 36: false} {
		if afl.Fits(make([]byte, n)) != ok {
			t.Errorf("AFL of %d bytes: want %v", n, ok)
		}
	}
	expiry, _ := Find(0x5F24)
	if expiry.Fits([]byte{0x28, 0x12, 0x3A}) {
		t.Error("5F24 that is not BCD fits")
	}
}

// secrets are the values of a dialogue that no line may show (scheme 4.2 "no").
func secrets(d emvtest.Dialogue) [][]byte {
	var list [][]byte
	for _, c := range d.Phone.Cards {
		list = append(list, c.Grant, c.DS, c.DC, c.MKac, c.Kref)
		for _, r := range c.Records {
			if nodes, err := tlv.ParseInside(r.Content); err == nil {
				for _, n := range nodes {
					if e, ok := Find(n.Tag); ok && e.Log == Never {
						list = append(list, n.Value)
					}
				}
			}
		}
	}
	for _, s := range d.Sales {
		list = append(list, s.OriginalReference)
		for _, tap := range s.Taps {
			for _, step := range tap.Steps {
				for _, b := range [][]byte{step.RAPDU, step.PhoneRAPDU} {
					list = append(list, after(b, []byte{0xDF, 0x8B, 0x0A, 0x10}, 16), after(b, []byte{0x9F, 0x81, 0x03, 0x40}, 64))
					if len(b) > 4 && b[0] == 0xDA {
						list = append(list, b[3:len(b)-2])
					}
				}
			}
		}
	}
	return list
}

func after(b, mark []byte, n int) []byte {
	_, rest, ok := bytes.Cut(b, mark)
	if !ok || len(rest) < n {
		return nil
	}
	return rest[:n]
}

// windows are the pieces of a secret that count as a leak; pieces that are
// mostly one byte are left out, being amounts and padding.
func windows(b []byte) []string {
	const size = 8
	var list []string
	for at := 0; at+size <= len(b); at++ {
		distinct := map[byte]bool{}
		for _, c := range b[at : at+size] {
			distinct[c] = true
		}
		if len(distinct) >= 6 {
			list = append(list, fmt.Sprintf("%X", b[at:at+size]))
		}
	}
	return list
}

func TestTraceShowsNoSecret(t *testing.T) {
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	lines, checked := 0, 0
	for _, d := range dialogues {
		var trace Trace
		shown := map[string]bool{}
		for _, s := range d.Sales {
			for _, tap := range s.Taps {
				for _, step := range tap.Steps {
					out := append(trace.Command(step.CAPDU), trace.Response(step.RAPDU)...)
					out = append(out, trace.Response(step.PhoneRAPDU)...)
					lines += len(out)
					take(shown, out)
				}
			}
		}
		for _, secret := range secrets(d) {
			for _, w := range windows(secret) {
				checked++
				if shown[w] {
					t.Fatalf("%s/%s: a line shows %s", d.Group, d.ID, w)
				}
			}
		}
	}
	if lines == 0 || checked == 0 {
		t.Fatalf("%d lines against %d secrets prove nothing", lines, checked)
	}
	t.Logf("%d lines hold none of %d pieces of secrets", lines, checked)
}

func TestTraceLines(t *testing.T) {
	var trace Trace
	show := func(command, answer []byte) string {
		return strings.Join(append(trace.Command(command), trace.Response(answer)...), "\n")
	}
	for _, c := range []struct {
		about           string
		command, answer []byte
		want            []string
		not             []string
	}{
		{"selection", unhex("00A4040005F05441504B00"), unhex("6F0D8405F05441504B9F38039F02069000"),
			[]string{"SELECT F05441504B", "84 ADF name F05441504B", "9F38 PDOL 9F0206", "< 9000"}, nil},
		{"PDOL data by the list", unhex("80A8000008830600000000500000"), unhex("6985"),
			[]string{"9F02 Amount 000000005000", "< 6985"}, nil},
		{"encrypted record", unhex("00B2011400"), unhex("DA03AABBCC9000"), []string{"5 bytes masked"}, []string{"AABB"}},
		{"unknown object", unhex("00B2011400"), unhex("7005C103AABBCC9000"), []string{"C1 unknown, value of 3 bytes masked"}, []string{"AABB"}},
		{"wrong length", unhex("00B2011400"), unhex("70058F03AABBCC9000"), []string{"8F CA key index, value of 3"}, []string{"AABB"}},
		{"account number", unhex("00B2011400"), unhex("70055A03AABBCC9000"), []string{"5A forbidden"}, []string{"AABB"}},
		{"masked", unhex("00B2011400"), unhex("700CDF8B010811223344556677889000"), []string{"DF8B01 Device id 1122..(8)"}, []string{"33"}},
		{"not TLV", unhex("00B2011400"), unhex("7005AABB9000"), []string{"data of 4 bytes masked"}, []string{"AABB"}},
		{"GENERATE AC data", unhex("80AE400003AABBCC00"), unhex("6F00"), []string{"data of 3 bytes masked"}, []string{"AABB"}},
		{"no command", unhex("AABBCC"), unhex("AA"), []string{"command of 3", "answer of 1"}, []string{"AA"}},
		{"after no command", unhex("AABBCC"), unhex("7003820211229000"), []string{"data of 6 bytes masked"}, []string{"1122"}},
		{"unknown command", unhex("80CE0000021122" + "00"), unhex("8202AABB9000"), []string{"unknown", "data of 2"}, []string{"AABB", "1122"}},
	} {
		got := show(c.command, c.answer)
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q lacks %q", c.about, got, w)
			}
		}
		for _, n := range c.not {
			if strings.Contains(got, n) {
				t.Errorf("%s: %q shows %q", c.about, got, n)
			}
		}
	}
	trace.Command(unhex("00B2011400"))
	first := trace.Response(unhex("70068F01" + "6104"))
	rest := trace.Response(unhex("058201FF" + "9000"))
	if strings.Contains(strings.Join(first, ""), "8F01") || !strings.Contains(strings.Join(rest, " "), "8F CA key index 05") {
		t.Errorf("chained answer: %q, %q", first, rest)
	}
}

func unhex(s string) []byte {
	var b []byte
	if _, err := fmt.Sscanf(s, "%X", &b); err != nil {
		panic(err)
	}
	return b
}

// FuzzTrace asserts that no bytes make a trace panic or show an encrypted
// record.
func FuzzTrace(f *testing.F) {
	f.Add(unhex("00B2011400"), unhex("DA03AABBCC9000"))
	f.Add(unhex("80A8000008830600000000500000"), unhex("6985"))
	f.Fuzz(func(t *testing.T, command, answer []byte) {
		var trace Trace
		trace.Command(command)
		lines := strings.Join(trace.Response(answer), "\n")
		if len(answer) > 12 && answer[0] == 0xDA && strings.Contains(lines, fmt.Sprintf("%X", answer[1:len(answer)-2])) {
			t.Fatalf("shown: %s", lines)
		}
	})
}
