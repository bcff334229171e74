package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Our own messages take the short way, otherwise it is worth nothing.
func TestOwnMessagesAreRecognised(t *testing.T) {
	p := newParties(t)
	d := everyData()["advice"].(Advice)
	sealed, err := p.terminal.sealRecord(d.PaymentID, d.Record)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := encode(till.String(), "", headerFor(d), d, sealed)
	if err != nil {
		t.Fatal(err)
	}
	rest, record := layAside(payload)
	if record != sealed || len(rest) != len(payload)-len(sealed) || !json.Valid(rest) {
		t.Errorf("laid aside %q of %q", record, payload)
	}
	part, err := splitCompact(sealed, 5)
	if err != nil {
		t.Fatal(err)
	}
	x, y, ok := usualPoint(part[0], p.wallet.decrypt.kid, till, d.PaymentID)
	wantX, wantY, err := readRecordHeader(part[0], p.wallet.decrypt.kid, till, d.PaymentID)
	if !ok || err != nil || !reflect.DeepEqual(x, wantX) || !reflect.DeepEqual(y, wantY) {
		t.Errorf("header %s: %v %v", part[0], ok, err)
	}
	for name, header := range map[string]string{
		"sender":    strings.Replace(string(part[0]), "till-1", "till-2", 1),
		"payment":   strings.Replace(string(part[0]), d.PaymentID.String(), testID(2).String(), 1),
		"key":       strings.Replace(string(part[0]), `"kid":"`, `"kid":"x`, 1),
		"member":    strings.Replace(string(part[0]), `,"iss"`, `,"zip":"DEF","iss"`, 1),
		"line feed": strings.Replace(string(part[0]), `"x":"`, "\"x\":\"\n", 1),
	} {
		if _, _, ok := usualPoint([]byte(header), p.wallet.decrypt.kid, till, d.PaymentID); ok || header == string(part[0]) {
			t.Errorf("another %s was taken for the usual one", name)
		}
	}
}

// The short way and the parser never read two things: laying the record aside
// leaves every other value, and the record itself, where they were.
func TestLayingAsideChangesNothing(t *testing.T) {
	aside := map[string]bool{
		`{"a":1,"data":{"b":"c","record":"R.s-_"}}`:                   true,
		`{"x":{"record":"in.here"},"data":{"b":1,"record":"R"}}`:      false, // which one is it
		`{"data":{"record":"first","record":"R"}}`:                    false,
		`{"data":{"a":"\",","record":"R"}}`:                           false,
		`{"data":{"\u0072ecord":"first","b":1,"record":"R"}}`:         false,
		`{"data":{"b":1,"record":"R\u0041"}}`:                         false,
		`{"data":{"b":1,"record":"R"} }`:                              false,
		`{"data":{"b":1,"record":""}}`:                                false,
		`{"data":{"b":1},"x":{"c":2,"record":"R"}}`:                   true, // of no meaning, as before
		`{"data":{"b":1,"record":"R"}},"record":"S"}}`:                false,
		`{"data":{"b":",","c":{},"record":"R"}}`:                      true,
		`,"record":"R"}}`:                                             true, // no object, before and after
		`"}}`:                                                         false,
		`{"data":{"b":"","record":"` + strings.Repeat("x", 9) + `"}}`: true,
	}
	for text, want := range aside {
		rest, record := layAside([]byte(text))
		if (record != "") != want {
			t.Errorf("%s: laid aside %q", text, record)
		}
		var whole, without any
		err, err2 := json.Unmarshal([]byte(text), &whole), json.Unmarshal(rest, &without)
		if (err == nil) != (err2 == nil) {
			t.Errorf("%s: %v, and without the record %v", text, err, err2)
		}
		if record != "" && err == nil {
			putBack(without, record)
		}
		if !reflect.DeepEqual(whole, without) {
			t.Errorf("%s became %v", text, fmt.Sprint(without))
		}
	}
}

// putBack fills every empty record.
func putBack(v any, record string) {
	object, _ := v.(map[string]any)
	for name, inner := range object {
		if name == "record" && inner == "" {
			object[name] = record
		}
		putBack(inner, record)
	}
}
