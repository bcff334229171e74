package dict

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tapkeeper/emv/emvtest"
)

// decodeTable holds inputs, and lines that the report must hold as they are.
var decodeTable = []struct {
	about, input string
	options      Options
	want         string
}{
	{"an answer to SELECT", "6F0D8405F05441504B9F38039F02069000", Options{}, `
rapdu, 17 bytes
   0  6F FCI [13]
   2    84 ADF name [5] F05441504B, scheme
   9    9F38 PDOL [3] 9F0206
  12      9F02 Amount [6]
  15  SW [2] 9000, normal`},
	{"a list", "9F02065F2A0295059C01", Options{}, `
dol, 10 bytes
   0  9F02 Amount [6]
   3  5F2A Currency [2]
   6  95 TVR [5]
   8  9C Type [1]`},
	{"the scheme's TVR", "5000008011", Options{}, `
tvr, 5 bytes
   0  TVR [5] 5000008011
   0    B1b7 CA key unknown
   0    B1b5 device on exception list
   3    B4b8 floor limit exceeded
   4    B5b5 AID mismatch
   4    B5b1 relay check required but not performed`},
	{"the books' TVR", "5000008011", Options{Kernel: Book}, `
   0    B1b7 SDA failed
   3    B4b8 Transaction exceeds floor limit
   4    B5b5 Script processing failed after final GENERATE AC`},
	{"an RFU bit", "0080000000", Options{Kernel: Book, Kind: TVR}, "\n   1    B2b8 ICC and terminal have different application versions"},
	{"no bit", "0000000000", Options{}, "\n   0  TVR [5] 0000000000, no bit set"},
	{"TSI", "9881", Options{Kind: TSI}, `
   0    B1b8 certificates checked
   0    B1b5 RFU
   0    B1b4 terminal risk done
   1    B2b8 answer came by recovery
   1    B2b1 RFU`},
	{"AIP", "8109", Options{Kind: AIP}, `
   0    B1b8 evidence
   0    B1b1 channel
   1    B2b4 offline capable
   1    B2b1 relay`},
	{"AFL", "0801010010010301", Options{}, `
afl, 8 bytes
   0    entry [4] 08010100, SFI 1, record 1
   4    entry [4] 10010301, SFI 2, records 1 to 3, the first 1 signed`},
	{"an AFL that contradicts itself", "08030200", Options{Kind: AFL}, "\n   0    entry [4] 08030200, SFI 1, records 3 to 2, the first 0 signed, malformed"},
	{"the scheme's CVM results", "010002", Options{}, "\ncvm, 3 bytes\n   0  CVM results [3] 010002, CDCVM done"},
	{"the books' CVM results", "1E0302", Options{Kernel: Book}, "\n   0  Cardholder Verification Method (CVM) Results [3] 1E0302, signature; if terminal supports the CVM; successful"},
	{"CID", "80", Options{}, "\ncid, 1 byte\n   0  CID [1] 80, ARQC"},
	{"IAD", "B10101D00000000000010102030405060708", Options{Reason: func(b byte) string { return fmt.Sprintf("why %02X", b) }}, `
   2    application kind [1] 01, wallet balance
   3    flags [1] D0, offline approved, CDCVM done, relay answered
   4    phone's reason [1] 00, why 00
  10    IAD-MAC [8] 0102030405060708`},
	{"a status word", "6A82", Options{}, "\nsw, 2 bytes\n   0  SW [2] 6A82, file or application not found"},
	{"a status word after its command", "6986", Options{Command: unhex("80A8000002830000")}, "\n   0  SW [2] 6986, unlock or confirm on the phone"},
	{"a bare status word of the books", "6986", Options{Command: unhex("80A8000002830000"), Kernel: Book}, "\n   0  SW [2] 6986, command not allowed"},
	{"ATR of a contactless card", "3B80800101", Options{}, `
atr, 5 bytes
   1  T0 [1] 80, 0 historical bytes
   4  TCK [1] 01, right
   0  contactless card, ISO/IEC 14443-4 [5] PC/SC part 3 3.1.3.2.3`},
	{"ATR of a storage card", "3B8F8001804F0CA000000306030001000000006A", Options{}, "\n   0  contactless storage card [20] not a payment card"},
	{"SELECT", "00A404020BF05441504B01010000000100", Options{}, `
capdu, 17 bytes
   0  SELECT [4] 00A40402, by name, next occurrence
   5  name [11] F05441504B010100000001, scheme, wallet balance`},
	{"GPO with its list", "80A800000A83080000000012500156" + "00", Options{List: unhex("9F02065F2A02")}, `
   5  PDOL data [10]
   7    9F02 Amount [6] 000000001250, 1250 minor units
  13    5F2A Currency [2] 0156, CNY`},
	{"GPO without its list", "80A800000A8308000000001250015600", Options{}, "\n   5  PDOL data [10] its list is not given, masked"},
	{"GENERATE AC", "80AE400003AABBCC00", Options{}, `
   0  GENERATE AC [4] 80AE4000, TC asked
   5  CDOL data [3] its list is not given, masked`},
	{"RECOVER", "80D000001C" + strings.Repeat("11", 16) + "22334455" + "3030303030303037" + "00", Options{}, `
   5    transaction id [16] 11111111111111111111111111111111
  21    unpredictable number [4] 22334455
  25    terminal id [8] 3030303030303037, "00000007"`},
	{"the relay answer after its command", "800A010203040010002000159000", Options{Command: unhex("80EA00000401020304" + "00")}, `
   2    phone's entropy [4] 01020304
   6    min [2] 0010, 1600 us
   8    max [2] 0020, 3200 us
  10    est [2] 0015, 2100 us`},
	{"format 1 after GPO", "800608010801010" + "09000", Options{Kernel: Book, Command: unhex("80A8000002830000")}, "\n   2    82 Application Interchange Profile (AIP) [2] 0801"},
	{"READ RECORD", "00B2011400", Options{}, "\n   0  READ RECORD [4] 00B20114, SFI 2, record 1"},
	{"the UID from the reader", "FFCA000000", Options{}, "\n   0  GET DATA [4] FFCA0000, UID, answered by the reader"},
	{"a PIN", "0020008008241234FFFFFFFFFF", Options{Unmask: true}, "\n   5  data [8] masked"},
	{"an account number", "5A0847617390010101195F2403311231", Options{}, "\n   0  5A Application Primary Account Number (PAN) [8] 16 digits, masked"},
	{"an account number, unmasked", "5A084761739001010119", Options{Unmask: true}, "\n   0  5A Application Primary Account Number (PAN) [8] 476173...0119, 16 digits, masked"},
	{"a track, unmasked", "570D4761739001010119D311220100", Options{Unmask: true, Kind: TLV}, "\n   0  57 Track 2 Equivalent Data [13] account number, expiry and more, masked"},
	{"a number in an unknown object, unmasked", "C1084761739001010119", Options{Unmask: true, Kind: TLV}, "\n   0  C1 unknown [8] may hold an account number, masked"},
	{"an unknown object", "C103AABBCC", Options{Kind: TLV}, "\n   0  C1 unknown [3] masked"},
	{"an unknown object, unmasked", "C103AABBCC", Options{Kind: TLV, Unmask: true}, "\n   0  C1 unknown [3] AABBCC"},
	{"an element of the wrong length", "8F03AABBCC", Options{Kind: TLV}, "\n   0  8F CA key index [3] not the length or format of this element, masked"},
	{"a masked element", "DF8B01081122334455667788", Options{}, "\n   0  DF8B01 Device id [8] 1122.., masked"},
	{"a nested script", "720E860C04DA9F6B0700000005000000", Options{Kind: TLV, Kernel: Book}, "\n   2    86 Issuer Script Command [12] 04DA.., masked"},
	{"padding", "9C0100000095050000000000", Options{Kind: TLV}, "\n   3  padding [2]\n   5  95 TVR [5] 0000000000, no bit set"},
	{"objects that could be a list", "9F38039F0206", Options{}, "\ntlv, 6 bytes"},
	{"a list that could be objects", "9A039C019F35029B02", Options{}, "\ndol, 9 bytes"},
	{"part of an answer", "6F0584" + "6110", Options{Kind: RAPDU}, "\n   0  part of an answer [3] masked\n   3  SW [2] 6110, 16 more bytes by GET RESPONSE"},
	{"wrong Le", "6C1A", Options{}, "\n   0  SW [2] 6C1A, repeat with Le 26"},
	{"tries", "63C2", Options{}, "\n   0  SW [2] 63C2, 2 tries left"},
	{"a word of no table", "6FAA", Options{}, "\n   0  SW [2] 6FAA, an error or a warning"},
	{"an application's word", "9101", Options{Kind: SW}, "\n   0  SW [2] 9101, the application's own status"},
	{"no word at all", "0101", Options{Kind: SW}, "\n   0  SW [2] 0101, not a status word"},
	{"format 1 after GENERATE AC", "8013" + "80" + "0102" + "1122334455667788" + "0102030405060708" + "9000", Options{Kernel: Book, Command: unhex("80AE80000100")}, `
   2    9F27 Cryptogram Information Data [1] 80, Authorisation Request Cryptogram (ARQC), no advice required
   3    9F36 Application Transaction Counter (ATC) [2] 0102, 258
   5    9F26 Application Cryptogram [8] 1122334455667788`},
	{"format 1 without its command", "800608010801010" + "09000", Options{}, "\n   0  80 answer without tags [6] the command that it answers is not given, masked"},
	{"a restart", "9F81080220" + "20", Options{}, "\n   0  9F8108 Restart indicator [2] 2020, tap again: see phone"},
	{"a restart of no meaning", "9F81080220" + "22", Options{}, "\n   0  9F8108 Restart indicator [2] 2022, ignored"},
	{"dates", "5F2403991340", Options{Kind: TLV}, "\n   0  5F24 Application expiry [3] 991340, not a date"},
	{"a century", "9A03500101", Options{Kernel: Book}, "\n   0  9A Transaction Date [3] 500101, 1950-01-01"},
	{"a year of the scheme", "9A03500101", Options{}, "\n   0  9A Date [3] 500101, 2050-01-01"},
	{"no account number", "5A02ABCD", Options{Kind: TLV}, "\n   0  5A Application Primary Account Number (PAN) [2] not an account number, masked"},
	{"a short account number, unmasked", "5A05123456789F", Options{Kind: TLV, Unmask: true}, "\n   0  5A Application Primary Account Number (PAN) [5] 9 digits, masked"},
	{"methods of others", "000000000000000060003F003000", Options{Kind: CVM, Kernel: Book}, "\n" +
		"   8    rule 1 [2] 6000, the payment system's own method; always; if it fails, the next rule\n" + "  10    rule 2 [2] 3F00, RFU; always; if it fails, cardholder verification fails"},
	{"CVM results of no method", "3F0000", Options{Kind: CVM, Kernel: Book}, "\n   0  Cardholder Verification Method (CVM) Results [3] 3F0000, no CVM performed; always; unknown"},
	{"CID with advice", "9F27010A", Options{Kernel: Book}, "\n   0  9F27 Cryptogram Information Data [1] 0A, Application Authentication Cryptogram (AAC), advice required, PIN try limit exceeded"},
	{"a script", "8604001A0000", Options{Kind: TLV, Kernel: Book, Unmask: true}, "\n   0  86 Issuer Script Command [4] 001A0000, unknown command"},
	{"a kernel of our own", "9F2A0142", Options{Kernel: Book}, "\n   0  9F2A Kernel Identifier [1] 42, Kernel C-2, RFU"},
	{"a record without its lists", "BF8B0107DF8B3203AABBCC" + "9B00", Options{Kind: TLV}, "\n   4    DF8B32 PDOL data [3] no PDOL before it explains it, masked"},
	{"a record whose data is cut", "BF8B010D9F38039F0206DF8B3203AABBCC", Options{}, "\n  10    DF8B32 PDOL data [3] does not fit its list, masked"},
	{"signed records that are none", "BF8B0106DF8B36028F05", Options{}, "\n   4    DF8B36 Signed records [2] byte 8: 8F wants a value of 5 bytes, 0 are left, masked"},
	{"an IAD of others", "0110A04003223000", Options{Kind: IAD, Kernel: Book}, "\n   0  Issuer Application Data (IAD) [8] 0110A04003223000, layout is the issuer's own"},
	{"GENERATE AC with CDA", "80AE900003AABBCC00", Options{Kernel: Book}, "\n   0  GENERATE AC [4] 80AE9000, ARQC asked, with CDA"},
	{"GET DATA", "80CA9F3600", Options{}, "\n   0  GET DATA [4] 80CA9F36, 9F36 ATC"},
	{"historical bytes of a card's own form", "3B8180014A4A", Options{}, "\n   4  historical bytes [1] 4A, the card's own form"},
	{"a long length", "9C810100", Options{}, "\n   0  9C Type [1] 00, purchase, length not minimal"},
}

func TestDecodeTable(t *testing.T) {
	for _, c := range decodeTable {
		r, err := Decode(mustHex(t, c.input), c.options)
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
			continue
		}
		got := "\n" + strings.Join(r.Lines(), "\n") + "\n"
		for _, line := range strings.Split(strings.TrimPrefix(c.want, "\n"), "\n") {
			if !strings.Contains(got, "\n"+line+"\n") {
				t.Errorf("%s: no line %q in%s", c.about, line, got)
			}
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: %v", c.about, err)
		}
	}
}

// TestDecodeErrors: one line, with the position, and nothing of the value.
func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct {
		input string
		kind  Kind
		want  string
	}{
		{"", "", "no bytes"},
		{"6F0584", TLV, "not readable as tlv: byte 0: 6F wants a value of 5 bytes, 1 are left"},
		{"6F038402AA", TLV, "not readable as tlv: byte 2: 84 wants a value of 2 bytes, 1 are left"},
		{"9F", TLV, "not readable as tlv: byte 0: the tag is cut short"},
		{"9F81828300", TLV, "not readable as tlv: byte 0: the tag is longer than three bytes"},
		{"8F80", TLV, "not readable as tlv: byte 0: the length of 8F is 80, which is none"},
		{"8F82", TLV, "not readable as tlv: byte 0: the length of 8F is cut short"},
		{"8F", TLV, "not readable as tlv: byte 0: the length of 8F is missing"},
		{"FF01", TLV, "not readable as tlv: byte 0: FF is no tag"},
		{"9F02", DOL, "not readable as dol: byte 2: the length of 9F02 is missing"},
		{"9F0281", DOL, "not readable as dol: byte 2: 81 is no length in a list"},
		{"000000", TVR, "not readable as tvr: 3 bytes, want 5"},
		{"0000", CVM, "not readable as cvm: 2 bytes, want 3 for results, an even number from 10 on for a list"},
		{"3B80800102", ATR, "not readable as atr: byte 4: TCK is 02, want 01"},
		{"3B808001", ATR, "not readable as atr: byte 4: TCK is missing"},
		{"3B8380010102", ATR, "not readable as atr: byte 6: 1 historical bytes are missing"},
		{"AA", ATR, "not readable as atr: byte 1: T0 is missing"},
		{"00A404", CAPDU, "not readable as capdu: byte 3: malformed APDU: command of 3 bytes"},
		{"90", RAPDU, "not readable as rapdu: malformed APDU: response of 1 bytes"},
		{"A2E1", Certificate, "not readable as certificate: issuer certificate: wrong layout: 2 bytes, want 122"},
		{"00", Certificate, "not readable as certificate: byte 0: 00 is no format of the scheme, want A2, A4 or A6"},
		{"9C0100", Record, "not readable as record: byte 0: 9C, want BF8B01"},
		{"BF8B01009C", Record, "not readable as record: byte 4: 1 bytes after the record"},
		{"00", "nonsense", "not readable as nonsense: unknown kind; one of tlv, dol,"},
		{"8101", "", "cannot tell what this is: 2 bytes may be aip, tsi, sw"},
		{"6F0A84000000", "", "not readable as tlv: byte 0: 6F wants a value of 10 bytes, 4 are left"},
		{"6F0A84", "", "cannot tell what this is: byte 0: no known command, and read as tlv it breaks at byte 0: 6F wants a value of 10 bytes, 1 are left"},
		{"C1058400AABB", "", "cannot tell what this is: byte 0: no known command, and read as tlv it breaks at byte 0: C1 wants a value of 5 bytes, 4 are left"},
	} {
		_, err := Decode(mustHex(t, c.input), Options{Kind: c.kind})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s as %q: %v, want %s", c.input, c.kind, err, c.want)
		}
	}
	if _, err := Decode(make([]byte, MaxInput+1), Options{}); err == nil {
		t.Error("an input without a bound")
	}
	if _, err := Decode([]byte{0x81, 0x01}, Options{}); !errors.Is(err, ErrUnclear) {
		t.Errorf("%v is not ErrUnclear", err)
	}
}

// TestWordsOfTVR holds the words against the table that the scheme gives them in.
func TestWordsOfTVR(t *testing.T) {
	text, err := os.ReadFile("../../docs/scheme.md")
	if err != nil {
		t.Fatal(err)
	}
	cell := regexp.MustCompile(`\| B([1-5])b([1-8]) \| ([^|]+?) (?:\((?:after GEN AC|5\.7)\) )?\|`)
	words := flagTables[flagKey{formTVR, Scheme}]
	found := 0
	_, section, _ := strings.Cut(string(text), "### 5.4 TVR")
	section, _, _ = strings.Cut(section, "### 5.5")
	for _, line := range strings.Split(section, "\n") {
		for rest := line; ; {
			m := cell.FindStringSubmatchIndex(rest)
			if m == nil {
				break
			}
			b := bit((rest[m[2]]-'0')<<4 | (rest[m[4]] - '0'))
			if want := rest[m[6]:m[7]]; want != words.name(b) {
				t.Errorf("%v is %q, the scheme says %q", b, words.name(b), want)
			} else if want != "RFU" {
				found++
			}
			rest = rest[m[1]-1:] // the bar also opens the next cell
		}
	}
	if found != len(words) || found == 0 {
		t.Errorf("%d words agree with the scheme, %d are there", found, len(words))
	}
}

// TestLayouts: the fields of a certificate and a grant are all of it, in its order.
func TestLayouts(t *testing.T) {
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	check := func(b []byte, kind Kind, open bool) {
		seen++
		r, err := Decode(b, Options{Unmask: true})
		if err != nil || r.Kind != kind {
			t.Fatalf("%X is %s: %v", b, r.Kind, err)
		}
		var all string
		for _, item := range r.Items {
			if item.At != len(all)/2 {
				t.Errorf("%s: %s stands at %d, want %d", kind, item.Name, item.At, len(all)/2)
			}
			all += item.Value
		}
		if all != fmt.Sprintf("%X", b) {
			t.Errorf("the fields of a %s are %s, not %X", kind, all, b)
		}
		masked, err := Decode(b, Options{})
		for _, item := range masked.Items[2:] {
			if err != nil || item.Masked == open {
				t.Errorf("%s of a %s: masked %v, %v", item.Name, kind, item.Masked, err)
			}
		}
	}
	for _, c := range p.IssuerCert {
		check(c.Cert, Certificate, true)
	}
	for _, c := range p.DeviceCert {
		check(c.Cert, Certificate, false)
	}
	for _, c := range p.Grant {
		check(c.Grant, Grant, false)
	}
	if seen == 0 {
		t.Fatal("no certificate was read")
	}
}

// runs are hex as long as a piece of a secret.
var runs = regexp.MustCompile(`[0-9A-F]{16,}`)

// take notes every piece of hex in lines that is as long as those of windows.
func take(shown map[string]bool, lines []string) {
	for _, line := range lines {
		for _, run := range runs.FindAllString(line, -1) {
			for at := 0; at+16 <= len(run); at++ {
				shown[run[at:at+16]] = true
			}
		}
	}
}

// TestDecodeShowsNoSecret: whatever of a dialogue is decoded by default, by the
// scheme or by the books, whole or as a part, no line holds a value that scheme 4.2
// never logs. The records that dialogues end with are read whole.
func TestDecodeShowsNoSecret(t *testing.T) {
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	reports, records, checked := 0, 0, 0
	for _, d := range dialogues {
		shown := map[string]bool{}
		done := map[string]bool{} // a dialogue repeats itself
		show := func(b []byte, o Options) {
			key := strings.Join([]string{string(o.Kind), string(b), string(o.Command), string(o.List)}, "/")
			if len(b) == 0 || done[key] {
				return
			}
			done[key] = true
			for _, o.Kernel = range []Kernel{Scheme, Book} {
				r, err := Decode(b, o)
				lines := r.Lines()
				if err != nil {
					lines = []string{err.Error()}
				} else {
					reports++
				}
				if r.Kind == Record {
					records++
				}
				take(shown, lines)
			}
		}
		for _, s := range d.Sales {
			for _, tap := range s.Taps {
				for _, step := range tap.Steps {
					for _, card := range d.Phone.Cards {
						show(step.CAPDU, Options{List: card.PDOL})
						if step.CAPDU[1] == 0xAE {
							show(step.CAPDU, Options{List: card.CDOL1})
						}
					}
					for _, b := range [][]byte{step.RAPDU, step.PhoneRAPDU} {
						for _, kind := range []Kind{"", TLV} {
							show(b, Options{Kind: kind, Command: step.CAPDU})
						}
					}
				}
				show(tap.Outcome.Record, Options{})
			}
		}
		for _, card := range d.Phone.Cards {
			show(card.Grant, Options{})
			for _, r := range card.Records {
				show(r.Content, Options{Kind: TLV})
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
	if reports == 0 || records == 0 || checked == 0 {
		t.Fatalf("%d reports with %d records against %d pieces prove nothing", reports, records, checked)
	}
	t.Logf("%d reports, %d of them records, hold none of %d pieces of secrets", reports, records, checked)
}

// TestRecordInWords: the data of an evidence record is explained by the lists in
// it, its own references stay hidden.
func TestRecordInWords(t *testing.T) {
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dialogues {
		for _, s := range d.Sales {
			for _, tap := range s.Taps {
				if len(tap.Outcome.Record) == 0 || s.Amount == 0 || len(d.Sales) > 1 {
					continue
				}
				r, err := Decode(tap.Outcome.Record, Options{})
				if err != nil {
					t.Fatalf("%s: %v", d.ID, err)
				}
				got := strings.Join(r.Lines(), "\n")
				for _, want := range []string{"DF8B31 Record kind", "DF8B32 PDOL data", "DF8B33 CDOL1 data",
					fmt.Sprintf("9F02 Amount [6] %012d, %d minor units", s.Amount, s.Amount),
					"DF8B24 Original reference [16] masked", "DF8B0A Merchant reference [16] masked", "9F10 IAD [18]"} {
					if !strings.Contains(got, want) {
						t.Fatalf("%s: no %q in\n%s", d.ID, want, got)
					}
				}
				return
			}
		}
	}
	t.Fatal("no dialogue ends with a record")
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// FuzzDecode asserts that no bytes make a decoder panic, that a report is bounded
// by its input, that JSON takes it, and that nothing of an encrypted record, an
// account number or a grant is shown.
func FuzzDecode(f *testing.F) {
	for _, c := range decodeTable {
		b, err := hex.DecodeString(c.input)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, byte(0), byte(c.options.Kernel), unhexed(c.options.Command), unhexed(c.options.List))
	}
	kinds := append([]string{""}, Kinds()...)
	f.Fuzz(func(t *testing.T, b []byte, kind, kernel byte, command, list []byte) {
		o := Options{Kind: Kind(kinds[int(kind)%len(kinds)]), Kernel: Kernel(kernel % 2), Command: command, List: list}
		for _, o.Unmask = range []bool{false, true} {
			r, err := Decode(b, o)
			if err != nil {
				if strings.Contains(err.Error(), "\n") || len(err.Error()) > maxErrorText {
					t.Fatalf("error %q", err)
				}
				continue
			}
			n := bound(t, r.Items, len(b))
			if n > itemsPerByte*(len(b)+len(list))+itemsOverhead {
				t.Fatalf("%d items of %d bytes", n, len(b))
			}
			text := strings.Join(r.Lines(), "\n")
			if _, err := json.Marshal(r); err != nil {
				t.Fatal(err)
			}
			if sealed := sealedValue(b, o.Unmask); r.Kind == TLV && sealed != "" && strings.Contains(text, sealed) {
				t.Fatalf("shown: %s", text)
			}
		}
	})
}

// Bounds of a report: eight bits and a header of a byte, a few lines for each list.
const (
	itemsPerByte  = 10
	itemsOverhead = 20
	maxErrorText  = 400
)

func bound(t *testing.T, items []Item, length int) int {
	t.Helper()
	n := len(items)
	for _, item := range items {
		if item.At < 0 || item.At > length || item.Length < 0 {
			t.Fatalf("item %q at %d of %d bytes", item.Name, item.At, length)
		}
		n += bound(t, item.Items, length)
	}
	return n
}

// sealedValue is the value of an input that is one object which is never shown, or
// one that only Unmask shows.
func sealedValue(b []byte, unmask bool) string {
	heads := [][]byte{{0x5A}, {0x57}, {0x5F, 0x20}}
	if !unmask {
		heads = append(heads, []byte{0xDA}, []byte{0xDF, 0x8B, 0x11}, []byte{0xDF, 0x8B, 0x0A}, []byte{0x9F, 0x46})
	}
	for _, head := range heads {
		if !bytes.HasPrefix(b, head) {
			continue
		}
		if o, n, err := next(b, 0); err == nil && n == len(b) && len(o.value) >= 8 {
			return fmt.Sprintf("%X", o.value)
		}
	}
	return ""
}

func unhexed(b []byte) []byte { return append([]byte{}, b...) }

// TestCorpus: what fuzzing has found is there, so that each test run repeats it.
func TestCorpus(t *testing.T) {
	if found, err := filepath.Glob("testdata/fuzz/FuzzDecode/*"); err != nil || len(found) == 0 {
		t.Fatalf("the corpus is empty: %v", err)
	}
}
