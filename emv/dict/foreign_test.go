package dict

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// foreign loads EMV vectors of other implementations. Their licences keep them
// out of this tree, so a test over them runs only where they are.
func foreign(t *testing.T, name string, into any) {
	t.Helper()
	dir := os.Getenv("TAPKEEPER_EMV_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors", "emv")
		if _, err := os.Stat(dir); err != nil {
			t.Skip("TAPKEEPER_EMV_VECTORS names no folder of foreign EMV vectors")
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// argued are the decode cases that differ: why, and in what alone. A case that
// differs in more fails, and so does an argument that is no longer needed.
var argued = map[string]struct{ why, only string }{
	"emv_decode_test1": {"the interface bytes and the historical bytes agree; the electrical meaning of a contact card's ATR " +
		"(voltage, clock, times), absent bytes and the data coding byte help nobody with a contactless reader",
		`^not said: +(ATR:|T0 |T[A-D][1-4] (=|absent)|T1  =|Card (service|capabilities)|- (Application selection|EF.DIR and|DF selection|EFs of|Behaviour|FF as|Data unit|Extended|No logical)|LCS|SW|TCK)|^not said: ATR`},
	"emv_decode_test6":                      {"9F39 has its words in ISO 8583, which no tap of this project speaks", `^9F39 says ""`},
	"emv_decode_test7":                      {"a track is never shown, also unmasked (docs/architecture.md I7)", `^57 `},
	"emv_decode_test9":                      {"names are shown in printable ASCII alone (scheme 3.5): a card must not choose what a terminal prints", `^9F12 says "asdf\d\.`},
	"emv_decode_country_test3":              {"countries stand in the data as numbers; two letters are not looked up", `^no such input`},
	"emv_decode_currency_test1":             {"currencies are shown by their ISO 4217 letters: 978 is EUR", `^no such input`},
	"emv_decode_currency_test3":             {"currencies are shown by their ISO 4217 letters: 826 is GBP", `^no such input`},
	"emv_decode_language_test1":             {"languages are read inside 5F2D, not alone", `^no such input`},
	"emv_decode_language_test3":             {"5F2D has two letters a language (EMV book 1 12.2.4), so no name of three", `^no such input`},
	"emv_decode_9F3B_test1":                 {"currencies are shown by their ISO 4217 letters", `^not said:   - (Euro|Pound Sterling|US Dollar)`},
	"emv_decode_9F0A_test1":                 {"9F0A is registered by bodies whose lists this project does not keep; the object agrees", `^not said:`},
	"emv_decode_9F6E_test1":                 {"9F6E means three things in three kernels; the row names them all and explains none", `^9F6E is|^not said:`},
	"emv_decode_9F6E_test3":                 {"9F6E means three things in three kernels; the row names them all and explains none", `^9F6E is|^not said:`},
	"emv_decode_9F6E_test4":                 {"9F6E means three things in three kernels; the row names them all and explains none", `^9F6E is|^not said:`},
	"emv_decode_IAD_test2":                  {"EMV book 3 leaves the IAD to the issuer; the payment systems' own layouts are not the books'", `^not said:`},
	"emv_decode_IAD_test3":                  {"EMV book 3 leaves the IAD to the issuer; the payment systems' own layouts are not the books'", `^not said:`},
	"emv_decode_IAD_test5":                  {"EMV book 3 leaves the IAD to the issuer; the payment systems' own layouts are not the books'", `^not said:`},
	"emv_decode_9F1D_test1":                 {"the contents of 9F1D belong to each kernel (EMV book 3 annex A)", `^no such input`},
	"emv_decode_issuer_response_test1":      {"response codes of ISO 8583 are shown as they are: no tap of this project has one", `^8A says`},
	"emv_decode_issuer_response_test2":      {"response codes and card status updates of other hosts are shown as they are", `^8A says|^not said:   - Card Status Update`},
	"emv_decode_padding_test1":              {"padding is 00 alone (EMV book 3 annex B1); other bytes are an error with its position, never skipped", `byte 19: the length of 12 is missing`},
	"emv_decode_asn1_test1":                 {"objects, nesting and values agree; ASN.1 types are not EMV data and are named unknown", `^(30|01|02|05|06|09|0A|0D|1A) (is "unknown"|says)`},
	"emv_decode_asn1_test3":                 {"objects, nesting and values agree; ASN.1 types are not EMV data and are named unknown", `^(30|0C|05|06) (is "unknown"|says)`},
	"emv_decode_oda_test1":                  {"objects agree; RSA certificates are not opened, and a card's own is hidden because it yields the account number", `^not said:|^9F46 is shown as ""`},
	"emv_decode_kernel_id_test":             {"the currency is shown by its letters, and 96 is explained by kernel 8 alone", `^9F2A says "Kernel C-2, EMVCo, EUR"|^96 says ""`},
	"emv_decode_poi_terminal_category_test": {"objects agree; the list of terminal categories is the payment systems'", `^not said:`},
	"emv_decode_9F69_test2":                 {"the object agrees; 9F69 is explained by kernel 3 alone", `^not said:`},
}

// TestForeignDecode holds the decoder, in the books' coding and unmasked, against
// the output of another one: objects, nesting, lengths, names, values and words.
func TestForeignDecode(t *testing.T) {
	var f struct {
		Cases []struct {
			Test   string
			Args   []string
			Stdout []string
		}
	}
	foreign(t, "emvutils_decode_cli.json", &f)
	agreed, different := 0, 0
	for _, c := range f.Cases {
		differences := compare(c.Args, c.Stdout)
		argument, known := argued[c.Test]
		if known {
			only := regexp.MustCompile(argument.only)
			beyond := slices.DeleteFunc(slices.Clone(differences), only.MatchString)
			for _, d := range beyond {
				t.Errorf("%s differs in more than %q argues: %s", c.Test, argument.why, d)
			}
		}
		switch {
		case len(differences) == 0 && known:
			t.Errorf("%s agrees; its argument is not needed: %s", c.Test, argument.why)
		case len(differences) == 0:
			agreed++
		case known:
			different++
		default:
			t.Errorf("%s %q differs:\n\t%s", c.Test, c.Args, strings.Join(differences, "\n\t"))
		}
	}
	if agreed == 0 {
		t.Error("no case agrees")
	}
	t.Logf("%d cases agree, %d differ for a reason", agreed, different)
}

var line = regexp.MustCompile(`^( *)([0-9A-F]{2,8}) (?:\| (.*?) )?: \[(\d+)\](.*)$`)

// compare returns what the other decoder says and ours does not.
func compare(args, stdout []string) []string {
	kinds := map[string]Kind{"--tlv": TLV, "--ber": TLV, "--atr": ATR, "--issuer-app-data": IAD}
	var input string
	var o Options
	for i, a := range args {
		if kind, ok := kinds[a]; ok && i+1 < len(args) {
			o, input = Options{Kind: kind, Kernel: Book, Unmask: true}, strings.Join(strings.Fields(args[i+1]), "")
		}
	}
	if len(args) == 2 && args[0] == "--country" {
		if number, err := strconv.Atoi(args[1]); err == nil && countries[number] == stdout[0] {
			return nil
		}
	}
	if input == "" {
		return []string{"no such input"}
	}
	b := unhex(input)
	r, err := Decode(b, o)
	if err != nil {
		if last := stdout[len(stdout)-1]; strings.HasPrefix(last, "BER decoding error") {
			return sameError(last, err)
		}
		return []string{err.Error()}
	}
	ours := flat(nil, r.Items, 0)
	var found []string
	at := -1
	for _, l := range stdout {
		m := line.FindStringSubmatch(l)
		if m == nil {
			if !explained(ours, at, strings.TrimLeft(l, " -")) {
				found = append(found, "not said: "+l)
			}
			continue
		}
		length, _ := strconv.Atoi(m[4])
		at++
		for at < len(ours) && (ours[at].Tag != m[2] || ours[at].Length != length || ours[at].depth*2 != len(m[1])) {
			at++
		}
		if at == len(ours) {
			return append(found, "no object: "+l)
		}
		found = append(found, differs(ours[at], m[3], m[5])...)
	}
	return found
}

type flatItem struct {
	Item
	depth int
}

func flat(list []flatItem, items []Item, depth int) []flatItem {
	for _, i := range items {
		list = append(list, flatItem{i, depth})
		list = flat(list, i.Items, depth+1)
	}
	return list
}

// differs compares one object: its name, its value in hex, the words behind it.
func differs(ours flatItem, name, rest string) []string {
	var found []string
	if name != "" && name != ours.Name {
		found = append(found, fmt.Sprintf("%s is %q, not %q", ours.Tag, ours.Name, name))
	}
	value, words, _ := strings.Cut(rest, "(")
	if before, text, ok := strings.Cut(rest, ` "`); ok {
		if text = strings.Trim(text, `"`); text != strings.Trim(ours.Words, `"`) {
			found = append(found, fmt.Sprintf("%s says %s, not %s", ours.Tag, ours.Words, text))
		}
		value, words = before, ""
	}
	hex := strings.Join(strings.Fields(value), "")
	if ours.Value != hex && len(ours.Items) == 0 && !strings.Contains(hex, "...") {
		found = append(found, fmt.Sprintf("%s is shown as %q, not %q", ours.Tag, ours.Value, hex))
	}
	if words = strings.TrimSuffix(words, ")"); words != "" && words != ours.Words {
		found = append(found, fmt.Sprintf("%s says %q, not %q", ours.Tag, ours.Words, words))
	}
	return found
}

// explained reports a line of explanation that ours also says, about object at or
// a part of it.
func explained(ours []flatItem, at int, words string) bool {
	_, last, ok := strings.Cut(words, ": ")
	if !ok {
		last = words
	}
	last = strings.ToLower(last)
	for i := max(at, 0); i < len(ours); i++ {
		if at >= 0 && i > at && ours[i].depth <= ours[at].depth {
			break
		}
		said := strings.ToLower(ours[i].Tag + " " + ours[i].Name + " " + ours[i].Value + " " + ours[i].Words)
		if strings.Contains(said, last) {
			return true
		}
	}
	return words == "" || strings.Trim(words, "-") == ""
}

// sameError compares where two decoders stop.
func sameError(theirs string, ours error) []string {
	m := regexp.MustCompile(`at offset (\d+)`).FindStringSubmatch(theirs)
	if m == nil || !strings.Contains(ours.Error(), "byte "+m[1]+":") {
		return []string{fmt.Sprintf("%q, not %q", ours, theirs)}
	}
	return nil
}

// TestForeignATR: what EMV level 1 accepts is accepted, and refused what it refuses.
func TestForeignATR(t *testing.T) {
	var f struct {
		Cases []struct {
			Test, ATR string
			Accept    bool
		}
	}
	foreign(t, "emvutils_atr.json", &f)
	for _, c := range f.Cases {
		r, err := Decode(unhex(c.ATR), Options{Kind: ATR})
		if err != nil {
			t.Errorf("%s: %v", c.Test, err)
			continue
		}
		last := r.Items[len(r.Items)-1]
		if got := last.Words == "as EMV level 1 wants it"; got != c.Accept {
			t.Errorf("%s, %s: %s, want accepted %v", c.Test, c.ATR, last.Words, c.Accept)
		}
	}
	t.Logf("%d cases agree", len(f.Cases))
}

// TestForeignDOL: the entries of lists, and where a broken one breaks.
func TestForeignDOL(t *testing.T) {
	var f struct {
		Cases []struct {
			Test, DOL string
			Entries   []struct {
				Tag    string
				Length int
			}
			DataLength int `json:"data_length"`
			Valid      bool
		}
	}
	foreign(t, "emvutils_dol.json", &f)
	for _, c := range f.Cases {
		r, err := Decode(unhex(c.DOL), Options{Kind: DOL})
		if (err == nil) != c.Valid {
			t.Errorf("%s: %v, want valid %v", c.Test, err, c.Valid)
		}
		for i, e := range c.Entries {
			if r.Items[i].Tag != e.Tag || r.Items[i].Length != e.Length {
				t.Errorf("%s: entry %d is %v", c.Test, i, r.Items[i])
			}
		}
		size := 0
		for _, item := range r.Items {
			size += item.Length
		}
		if c.DataLength > 0 && size != c.DataLength {
			t.Errorf("%s: %d bytes, want %d", c.Test, size, c.DataLength)
		}
	}
	t.Logf("%d cases agree", len(f.Cases))
}

// TestForeignCVM: amounts and rules of CVM lists.
func TestForeignCVM(t *testing.T) {
	var f struct {
		Cases []struct {
			List    string `json:"cvm_list"`
			Valid   bool
			AmountX int `json:"amount_x"`
			AmountY int `json:"amount_y"`
			Rules   []struct{ CVM, Cond string }
		}
	}
	foreign(t, "emvutils_cvm_list.json", &f)
	for _, c := range f.Cases {
		r, err := Decode(unhex(c.List), Options{Kind: CVM, Kernel: Book})
		if (err == nil) != c.Valid {
			t.Errorf("%s: %v, want valid %v", c.List, err, c.Valid)
		}
		if !c.Valid {
			continue
		}
		parts := r.Items[0].Items
		want := []string{fmt.Sprintf("%d minor units", c.AmountX), fmt.Sprintf("%d minor units", c.AmountY)}
		got := []string{parts[0].Words, parts[1].Words}
		for i, rule := range c.Rules {
			want = append(want, rule.CVM+rule.Cond)
			got = append(got, parts[2+i].Value)
		}
		if !slices.Equal(got, want) || len(parts) != 2+len(c.Rules) {
			t.Errorf("%s: %q, want %q", c.List, got, want)
		}
	}
	t.Logf("%d cases agree", len(f.Cases))
}

// TestForeignTVR: the TVR that a case ends with says, in the books' words, what
// its name says.
func TestForeignTVR(t *testing.T) {
	type result struct {
		Name string
		TVR  string `json:"expected_tvr"`
		TSI  string `json:"expected_tsi"`
	}
	words := []struct{ name, bit string }{
		{"not allowed", "Requested service not allowed for card product"},
		{"not effective", "Application not yet effective"}, {"not yet effective", "Application not yet effective"},
		{"expired", "Expired application"}, {"version", "ICC and terminal have different application versions"},
		{"floor limit", "Transaction exceeds floor limit"}, {"random", "Transaction selected randomly for online processing"},
		{"new card", "New card"},
	}
	for _, name := range []string{"emvutils_processing_restrictions.json", "emvutils_terminal_risk_management.json"} {
		var f struct{ Cases []result }
		foreign(t, name, &f)
		matched := 0
		for _, c := range f.Cases {
			r, err := Decode(unhex(c.TVR), Options{Kind: TVR, Kernel: Book})
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Join(r.Lines(), "\n")
			if strings.Contains(said, "RFU") {
				t.Errorf("%s: %s", c.Name, said)
			}
			for _, w := range words {
				if strings.Contains(strings.ToLower(c.Name), w.name) && c.TVR != "0000000000" {
					if matched++; !strings.Contains(said, w.bit) {
						t.Errorf("%s lacks %q: %s", c.Name, w.bit, said)
					}
				}
			}
			if c.TSI == "" {
				continue
			}
			r, err = Decode(unhex(c.TSI), Options{Kind: TSI, Kernel: Book})
			if err != nil || !strings.Contains(strings.Join(r.Lines(), "\n"), "Terminal risk management was performed") {
				t.Errorf("%s: TSI %s: %v", c.Name, c.TSI, err)
			}
		}
		t.Logf("%s: %d cases, %d named bits agree", name, len(f.Cases), matched)
		if matched == 0 {
			t.Errorf("%s: no case names its bit", name)
		}
	}
}

// TestForeignDialogues reads every answer of other schemes' cards: no account
// number or track of them is shown, masked or not, and no certificate of a card.
func TestForeignDialogues(t *testing.T) {
	var f struct {
		Transcripts []struct {
			ID        string
			Exchanges []struct{ CAPDU, RAPDU string }
		}
	}
	foreign(t, "transcripts.json", &f)
	read, all, numbers := 0, 0, 0
	for _, tr := range f.Transcripts {
		var text strings.Builder
		var sealed []string
		for _, x := range tr.Exchanges {
			for _, unmask := range []bool{false, true} {
				o := Options{Kernel: Book, Unmask: unmask, Command: mustHex(t, x.CAPDU), Kind: RAPDU}
				r, err := Decode(mustHex(t, x.RAPDU), o)
				if all++; err != nil {
					continue
				}
				read++
				text.WriteString(strings.Join(r.Lines(), "\n") + "\n")
				if c, err := Decode(o.Command, Options{Kernel: Book, Unmask: unmask, Kind: CAPDU}); err == nil {
					text.WriteString(strings.Join(c.Lines(), "\n") + "\n")
				}
			}
			sealed = append(sealed, accounts(mustHex(t, x.RAPDU))...)
		}
		for _, s := range sealed {
			if numbers++; strings.Contains(text.String(), s) {
				t.Errorf("%s: a line shows an account number", tr.ID)
			}
		}
	}
	if read*2 < all || numbers == 0 {
		t.Errorf("%d of %d answers read, %d account numbers", read, all, numbers)
	}
	t.Logf("%d of %d answers read, %d account numbers not shown", read, all, numbers)
}

// accounts are the account numbers of an answer in hex, of tags 5A and 57.
func accounts(b []byte) []string {
	if len(b) < 3 {
		return nil
	}
	r, err := (&decoder{Options: Options{Kernel: Book}}).objects(b[:len(b)-2], 0)
	if err != nil {
		return nil
	}
	var found []string
	for _, item := range flat(nil, r, 0) {
		if item.Tag != "5A" && item.Tag != "57" || item.Length < 7 {
			continue
		}
		value := hexOf(b[item.At+2 : item.At+2+item.Length]) // both have one-byte lengths
		digits, _, _ := strings.Cut(value, "D")
		if digits = strings.TrimRight(digits, "F"); len(digits) >= minPAN && strings.Trim(digits, "9") != "" {
			found = append(found, digits)
		}
	}
	return found
}
