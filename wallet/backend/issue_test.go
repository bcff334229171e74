package backend

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
)

// Keys that went through a file judge the cards made before.
func TestKeysSurviveTheirFile(t *testing.T) {
	s := newShop(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	s.must(SaveKeys(path, s.keys))
	if err := SaveKeys(path, s.keys); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the file was replaced: %v", err)
	}
	info, err := os.Stat(path)
	s.must(err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	loaded, err := LoadKeys(path)
	s.must(err)
	if loaded.Issuer.CAKey() != s.keys.Issuer.CAKey() || !loaded.Signing.Public().Equal(s.keys.Signing.Public()) ||
		!loaded.Decryption.Public().Equal(s.keys.Decryption.Public()) {
		t.Error("other keys came back")
	}
	verifier, err := loaded.Issuer.Verifier()
	s.must(err)
	s.service.verifier = verifier
	if r := s.receipt(advice(500)(s)); r.Result != wire.Accepted {
		t.Errorf("a card of before: %v", r.Reason)
	}
	s.must(os.Chmod(path, 0o644))
	if _, err := LoadKeys(path); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a file that all may read: %v", err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	s := newShop(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	s.must(SaveKeys(path, s.keys))
	text, err := os.ReadFile(path)
	s.must(err)
	var file map[string]string
	s.must(json.Unmarshal(text, &file))
	encoded, err := json.Marshal(s.keys)
	s.must(err)
	printed := string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed += fmt.Sprintf(verb, s.keys) + fmt.Sprintf(verb, *s.keys.Issuer)
	}
	printed = strings.ToUpper(printed)
	for _, name := range []string{"d_ca", "d_i", "imk", "krm", "signing", "decryption"} {
		if secret := file[name]; len(secret) < 32 || strings.Contains(printed, secret) {
			t.Errorf("%s printed, or not in the file", name)
		}
	}
}

func TestDamagedKeyFiles(t *testing.T) {
	s := newShop(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	s.must(SaveKeys(path, s.keys))
	text, err := os.ReadFile(path)
	s.must(err)
	for name, damage := range map[string]func(map[string]string){
		"format":      func(m map[string]string) { m["format"] = "tapkeeper-wallet-keys-2" },
		"ca":          func(m map[string]string) { m["d_ca"] = strings.Repeat("11", 32) },
		"imk":         func(m map[string]string) { m["imk"] = "00" },
		"signing":     func(m map[string]string) { m["signing"] = "00" },
		"decryption":  func(m map[string]string) { m["decryption"] = strings.Repeat("FF", 32) },
		"certificate": func(m map[string]string) { m["issuer_certificate"] = "00" },
	} {
		m := map[string]string{}
		s.must(json.Unmarshal(text, &m))
		damage(m)
		broken, err := json.Marshal(m)
		s.must(err)
		s.must(os.WriteFile(path, broken, 0o600))
		if _, err := LoadKeys(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOnlineOnlyCard(t *testing.T) {
	s := newShop(t)
	s.reissue(s.ledger, "alice", nil)
	if len(s.profile.Grant) != 0 || len(s.profile.Records) != 3 {
		t.Fatal("the card has a grant")
	}
	record, cid, err := s.sale(1, 500, backendtest.AskARQC, 2).Do(s.phone)
	s.must(err)
	if cid != cidARQC {
		t.Fatalf("CID %02X", cid)
	}
	if r := s.receipt(wire.Authorisation{Payment: about(1, 500, 2, record)}); r.Result != wire.Accepted {
		t.Errorf("%v", r.Reason)
	}
}

func TestIssueRefusals(t *testing.T) {
	s := newShop(t)
	for name, c := range map[string]Card{
		"no account":       {Account: "nobody", Kind: WalletBalance, Label: "x"},
		"merchant account": {Account: "merchant:tea", Kind: WalletBalance, Label: "x"},
		"other kind":       {Account: "alice", Kind: 3, Label: "x"},
		"no label":         {Account: "alice", Kind: WalletBalance},
		"long suffix":      {Account: "alice", Kind: WalletBalance, Label: "x", Suffix: make([]byte, 10)},
		"digits":           {Account: "alice", Kind: WalletBalance, Label: "x", Digits: [2]byte{0xAB}},
		"empty allowance":  {Account: "alice", Kind: WalletBalance, Label: "x", Allowance: &Allowance{}},
	} {
		if _, err := s.keys.Issuer.IssueCard(t.Context(), s.ledger, c, noon, rand.Reader); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	for name, e := range map[string]Enrolment{
		"address":  {wire.Address{Merchant: "Tea"}, "x", schemeID, s.keys.Signing.Public(), "CNY"},
		"long id":  {atTea, "x", "TERM00001", s.keys.Signing.Public(), "CNY"},
		"no key":   {atTea, "x", schemeID, nil, "CNY"},
		"currency": {atTea, "x", schemeID, s.keys.Signing.Public(), "XYZ"},
	} {
		if err := EnrolTerminal(t.Context(), s.ledger, e); err == nil {
			t.Errorf("enrolment, %s: accepted", name)
		}
	}
	if err := OpenPayer(t.Context(), s.ledger, "alice", "", "CNY", 1, noon); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("second account of that name: %v", err)
	}
}
