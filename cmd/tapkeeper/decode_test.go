package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"tapkeeper/emv/dict"
)

func TestDecodeVerb(t *testing.T) {
	for _, c := range []struct {
		about    string
		args     []string
		status   int
		out, err string
	}{
		{"a TVR in parts", []string{"00 00", "00:80", "00", "--as", "tvr"}, exitOK, "tvr, 5 bytes\n   0  TVR [5] 0000008000\n   3    B4b8 floor limit exceeded\n", ""},
		{"the books", []string{"0000008000", "--emv"}, exitOK, "B4b8 Transaction exceeds floor limit\n", ""},
		{"lower case", []string{"9f2701" + "40"}, exitOK, "   0  9F27 CID [1] 40, TC\n", ""},
		{"the reason in words", []string{"B10101000100000000010102030405060708"}, exitOK, "phone's reason [1] 01, Account restricted, contact the wallet\n", ""},
		{"after a command", []string{"6985", "--after", "80A8000002830000"}, exitOK, "conditions not met for this card\n", ""},
		{"data and its list", []string{"80A8000004830200" + "0000", "--dol", "9F1A02"}, exitOK, "9F1A Terminal country [2] 0000\n", ""},
		{"masked", []string{"DF8B0A1000112233445566778899AABBCCDDEEFF"}, exitOK, "DF8B0A Merchant reference [16] masked\n", ""},
		{"unmasked", []string{"DF8B0A1000112233445566778899AABBCCDDEEFF", "--unmask"}, exitOK, "DF8B0A Merchant reference [16] 00112233445566778899AABBCCDDEEFF\n", ""},
		{"no hex", []string{"6F0G"}, exitUsage, "", "error: character 4 is no hexadecimal digit\nhint: name the kind with --as, one of tlv, dol, tvr,"},
		{"half a byte", []string{"6F0"}, exitUsage, "", "error: an odd number of hexadecimal digits: half of the last byte is missing\n"},
		{"cut short", []string{"--as", "tlv", "6F0584"}, exitUsage, "", "error: not readable as tlv: byte 0: 6F wants a value of 5 bytes, 1 are left\n"},
		{"a bad list", []string{"6985", "--dol", "X"}, exitUsage, "", "error: --dol: character 1 is no hexadecimal digit\n"},
		{"nothing", []string{}, exitUsage, "", "error: requires at least 1 arg(s)"},
		{"white space", []string{" "}, exitUsage, "", "error: no bytes\n"},
	} {
		var out, problems bytes.Buffer
		status := run(t.Context(), append([]string{"decode"}, c.args...), &out, &problems)
		if status != c.status || !strings.Contains(out.String(), c.out) || !strings.HasPrefix(problems.String(), c.err) || (c.out == "") != (out.Len() == 0) {
			t.Errorf("%s: %d\n%s%s", c.about, status, &out, &problems)
		}
	}
}

func TestDecodeStandardInput(t *testing.T) {
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetIn(strings.NewReader("95 05 00\n00 00 80 00\n"))
	root.SetArgs([]string{"decode", "-", "--json"})
	err := root.ExecuteContext(t.Context())
	var r dict.Report
	if err != nil || json.Unmarshal(out.Bytes(), &r) != nil || r.Kind != dict.TLV || len(r.Items) != 1 || r.Items[0].Items[0].Name != "floor limit exceeded" {
		t.Errorf("%v: %s", err, &out)
	}
	root.SetIn(strings.NewReader(strings.Repeat("0", maxText+1)))
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an input without a bound: %v", err)
	}
}
