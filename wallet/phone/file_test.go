package phone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

func decrypt(t *testing.T, s session, record []byte) []byte {
	t.Helper()
	n, err := tlv.ParseOne(record)
	if err != nil || n.Tag != tagDA {
		t.Fatalf("record %X: %v", record, err)
	}
	return channel.CTR(s.keys.SKc, s.counter, n.Value)
}

func walletOnDisk(t *testing.T) (path string, p Profile) {
	t.Helper()
	path, p = filepath.Join(t.TempDir(), "wallet.json"), testProfile(1)
	if err := SaveFile(path, File{Cards: []Profile{p}}); err != nil {
		t.Fatal(err)
	}
	return path, p
}

func openWallet(t *testing.T, path string) *Wallet {
	t.Helper()
	c := &clock{noon}
	w, err := Open(path, Options{Random: newStream(1), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRestartFromFile(t *testing.T) {
	path, p := walletOnDisk(t)
	first := sale{asked: tc, txid: 1, amount: 5000}
	paid := first.pay(t, openWallet(t, path), p.ADF)

	w := openWallet(t, path)
	send(t, w, apdu.Select(p.ADF, false))
	if r := send(t, w, first.recover()); r.SW != apdu.OK || !bytes.Equal(r.Data, paid.raw) {
		t.Fatalf("RECOVER after a restart: %v", r.SW)
	}
	again := first
	again.values = map[tlv.Tag]string{tag9F37: "0A0B0C0D"}
	if a := again.pay(t, w, p.ADF); a.cid() != aac || a.reason() != reasonDuplicate || a.atc() != 2 {
		t.Fatalf("same transaction after a restart: CID %02X reason %02X ATC %d", a.cid(), a.reason(), a.atc())
	}

	w = openWallet(t, path)
	(sale{asked: tc, txid: 2, amount: 5000}).pay(t, w, p.ADF)
	if s := w.State().Cards[0]; s.ATC != 3 || s.Index != 2 || s.Spent != 10000 || len(s.Taps) != 2 {
		t.Errorf("%+v", s)
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("debris: %v, %v", names, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestTwoWalletsOnOneFile must not spend one allowance twice.
func TestTwoWalletsOnOneFile(t *testing.T) {
	path, p := walletOnDisk(t)
	a, b := openWallet(t, path), openWallet(t, path)
	(sale{asked: tc, txid: 1, amount: 5000}).pay(t, a, p.ADF)
	s := sale{asked: tc, txid: 1, amount: 5000}
	s.open(t, b, p.ADF)
	if r := s.generate(t, b); r.SW != apdu.NotSatisfied {
		t.Errorf("second wallet: %v", r.SW)
	}
	(sale{asked: tc, txid: 2, amount: 5000}).pay(t, a, p.ADF)
}

func TestUnwritableFolderCommitsNothing(t *testing.T) {
	path, p := walletOnDisk(t)
	w := openWallet(t, path)
	s := sale{asked: tc, txid: 1, amount: 5000}
	s.open(t, w, p.ADF)
	if err := os.Rename(path, path+".away"); err != nil { // also for root, whom no mode stops
		t.Fatal(err)
	}
	if r := s.generate(t, w); r.SW != apdu.NotSatisfied || w.State().Cards[0].ATC != 0 {
		t.Errorf("%v", r.SW)
	}
}

func TestFileRoundTrip(t *testing.T) {
	path, p := walletOnDisk(t)
	w := openWallet(t, path)
	(sale{asked: tc, txid: 1, amount: 5000}).pay(t, w, p.ADF)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveFile(path, f); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("load and save changed the file: %v", err)
	}
	b, err := EncodeProfile(p)
	if err != nil {
		t.Fatal(err)
	}
	q, err := DecodeProfile(b)
	if err != nil || !q.SignKey.Equal(p.SignKey) || !q.ReferenceKey.Equal(p.ReferenceKey) {
		t.Errorf("profile: %v", err)
	}
}

func TestLoadFileRefuses(t *testing.T) {
	good, _ := walletOnDisk(t)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":         "",
		"cut":           string(b[:len(b)/2]),
		"trailing":      string(b) + "{}",
		"format":        strings.Replace(string(b), fileFormat, "tapkeeper-phone-2", 1),
		"unknown field": strings.Replace(string(b), `"notice"`, `"note"`, 1),
		"not hex":       strings.Replace(string(b), `"ds": "`, `"ds": "ZZ`, 1),
	} {
		path := filepath.Join(t.TempDir(), "wallet.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadFile(path)
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		if key := fmt.Sprintf("%X", testProfile(1).SignKey.Bytes()); strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error tells a key", name)
		}
	}
}

// TestSecretsDoNotPrint tries every verb on every shape a key sits in.
func TestSecretsDoNotPrint(t *testing.T) {
	p := testProfile(1)
	u := newPhone(t, p)
	(sale{asked: tc, txid: 1, amount: 1}).open(t, u.Wallet, p.ADF)
	type wrapper struct{ inside Profile }
	shapes := []any{p, &p, []Profile{p}, map[string]Profile{"a": p}, wrapper{p}, &wrapper{p}, u.cards[0], *u.cards[0],
		u.tap.session, u.Wallet, File{Cards: []Profile{p}}, fmt.Errorf("about %v", p)}
	secrets := []channel.Secret{p.SignKey, p.AgreeKey, p.ACKey, p.ReferenceKey, u.tap.session.keys.SKc.Secret,
		u.tap.session.keys.SKi.Secret}
	check := func(what, out string) {
		t.Helper()
		for i, s := range secrets {
			for _, form := range []string{"%X", "%x", "%s", "%d"} {
				if needle := strings.Trim(fmt.Sprintf(form, s.Bytes()[4:12]), "[]"); strings.Contains(out, needle) {
					t.Errorf("%s shows secret %d as %s", what, i, form)
				}
			}
		}
	}
	for i, shape := range shapes {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
			check(fmt.Sprintf("shape %d with %s", i, verb), fmt.Sprintf(verb, shape))
		}
		if b, err := json.Marshal(shape); err == nil {
			check(fmt.Sprintf("shape %d as JSON", i), string(b))
		}
	}
}
