package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func testCA(t testing.TB, b byte) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func someRevocations() Revocations {
	return Revocations{RID: "f05441504b", ListVersion: ListVersion{Version: 4, IssuedAt: At(testTime), Base: 3},
		Added:   []Revocation{{Index: 1, IssuerSerial: 7}, {Index: 1, IssuerSerial: 8, DeviceSerial: "0011223344aa"}},
		Removed: []Revocation{{Index: 1, IssuerSerial: 9}}}
}

func TestRevocations(t *testing.T) {
	ca, r := testCA(t, 4), someRevocations()
	sealed, err := SealRevocations(ca, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, jws := range []string{sealed, testRevocations} {
		if got, err := ReadRevocations(jws, &ca.PublicKey); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("reads %+v, %v", got, err)
		}
	}
	if _, err := ReadRevocations(sealed, &testCA(t, 5).PublicKey); !errors.Is(err, ErrSignature) {
		t.Errorf("another CA's key: %v", err)
	}
	if _, err := ReadRevocations(sealed, nil); !errors.Is(err, ErrSignature) {
		t.Errorf("no key: %v", err)
	}
	for i := range sealed {
		bad := []byte(sealed)
		bad[i] ^= 1
		if _, err := ReadRevocations(string(bad), &ca.PublicKey); err == nil {
			t.Fatalf("byte %d changed, and accepted", i)
		}
	}
	// A message of the wallet is no list of the CA, whoever's key it is.
	p := newParties(t)
	message, err := p.seal(headerFor(Echo{}), Echo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRevocations(string(message), &ca.PublicKey); !errors.Is(err, ErrSignature) {
		t.Errorf("a message as a list: %v", err)
	}
	for name, change := range map[string]func(*Revocations){
		"no RID":             func(r *Revocations) { r.RID = "" },
		"upper case":         func(r *Revocations) { r.RID = strings.ToUpper(r.RID) },
		"version 0":          func(r *Revocations) { r.Version = 0 },
		"base not below":     func(r *Revocations) { r.Base = r.Version },
		"no time":            func(r *Revocations) { r.IssuedAt = Time{} },
		"index 0":            func(r *Revocations) { r.Added[0].Index = 0 },
		"short serial":       func(r *Revocations) { r.Added[1].DeviceSerial = "00" },
		"added and removed":  func(r *Revocations) { r.Removed = r.Added[:1] },
		"added twice":        func(r *Revocations) { r.Added = append(r.Added, r.Added[0]) },
		"more than the most": func(r *Revocations) { r.Added = manyRevoked(MaxRevoked + 1) },
	} {
		bad := someRevocations()
		change(&bad)
		if _, err := SealRevocations(ca, bad); err == nil {
			t.Errorf("%s: sealed", name)
		}
		// Also if the CA itself signs it.
		if err := bad.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func manyRevoked(n int) []Revocation {
	list := make([]Revocation, n)
	for i := range list {
		list[i] = Revocation{Index: 0xff, IssuerSerial: 1<<32 - 1, DeviceSerial: fmt.Sprintf("%012x", 1<<47+i)}
	}
	return list
}

// The fullest hotlist and the largest bundle must fit, or a terminal would never get them.
func TestTheFullestOrdersFit(t *testing.T) {
	p := newParties(t)
	to := Address{strings.Repeat("m", 32), strings.Repeat("t", 32)}
	exceptions := Exceptions{ListVersion: ListVersion{Version: MaxSequence, IssuedAt: At(testTime), Base: MaxSequence - 1}}
	for i := range MaxExceptions {
		exceptions.Added = append(exceptions.Added, fmt.Sprintf("%016x", i))
	}
	revoked := someRevocations()
	revoked.Version, revoked.Base, revoked.Added, revoked.Removed = MaxSequence, MaxSequence-1, manyRevoked(MaxRevoked), nil
	jws, err := SealRevocations(testCA(t, 4), revoked)
	if err != nil {
		t.Fatal(err)
	}
	bundle := bytes.Repeat([]byte{0xff}, MaxBundle)
	for _, d := range []Data{
		Hotlist{Exceptions: &exceptions, Revocations: jws},
		Config{Serial: MaxSequence, NotAfter: At(testTime), SHA256: DigestOf(bundle), Bundle: bundle},
	} {
		sealed, err := p.wallet.Seal(to, headerFor(d), d)
		if err != nil {
			t.Fatalf("the fullest %s: %v", d.Kind(), err)
		}
		t.Logf("the fullest %s takes %d of %d bytes", d.Kind(), len(sealed), MaxMessage)
	}
	exceptions.Added = append(exceptions.Added, "ffffffffffffffff")
	if err := (Hotlist{Exceptions: &exceptions}).check(); err == nil {
		t.Error("more exceptions than the most are taken")
	}
	bundle = append(bundle, 0)
	if err := (Config{Serial: 1, NotAfter: At(testTime), SHA256: DigestOf(bundle), Bundle: bundle}).check(); err == nil {
		t.Error("a larger bundle is taken")
	}
}

func TestBadOrders(t *testing.T) {
	p := newParties(t)
	wallet := testEd25519(2)
	for name, c := range map[string]struct{ of, old, new string }{
		"bundle of another hash":   {"config", `"bundle":"YnVuZGxl"`, `"bundle":"YnVuZGxm"`},
		"bundle in standard form":  {"config", `"bundle":"YnVuZGxl"`, `"bundle":"YnVuZGxl="`},
		"bundle with a line feed":  {"config", `"bundle":"YnVuZGxl"`, `"bundle":"YnVu\nZGxl"`},
		"no bundle":                {"config", `"bundle":"YnVuZGxl"`, `"bundle":""`},
		"serial 0":                 {"config", `"serial":3`, `"serial":0`},
		"config that never ends":   {"config", `"not_after":"2026-11-24T09:30:00.120Z",`, ``},
		"device in upper case":     {"hotlist", `00112233445566aa`, `00112233445566AA`},
		"device twice":             {"hotlist", `00112233445566aa`, `00112233445566ab`},
		"list of version 0":        {"hotlist", `"version":12`, `"version":0`},
		"list over itself":         {"hotlist", `"base":11`, `"base":12`},
		"empty hotlist":            {"hotlist-revocations", `"revocations"`, `"unknown"`},
		"command 0":                {"command", `"number":7`, `"number":0`},
		"command that never ends":  {"command", `"not_after":"2026-11-24T09:30:00.120Z",`, ``},
		"order in other letters":   {"command", `"reconcile"`, `"Reconcile"`},
		"reconcile without a day":  {"command", `,"business_day":"2026-11-24"`, ``},
		"a day for something else": {"command", `"reconcile"`, `"report"`},
		"reason with a line feed":  {"command-suspend", `stocktaking`, `stock\ntaking`},
	} {
		d := everyData()[c.of]
		payload := payloadOf(t, p, d)
		if !strings.Contains(payload, c.old) {
			t.Fatalf("%s: %s is not in %s", name, c.old, payload)
		}
		_, err := p.terminal.Open(till.DownTopic(d.Kind()), forge(wallet, goodHeader(wallet), strings.Replace(payload, c.old, c.new, 1)))
		if Fault(err) != "bad_data" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An order of a later version is read; whether it is obeyed is the terminal's affair.
	later := strings.Replace(payloadOf(t, p, everyData()["command-suspend"]), `"suspend"`, `"sing"`, 1)
	if _, err := p.terminal.Open(till.DownTopic(KindCommand), forge(wallet, goodHeader(wallet), later)); err != nil {
		t.Errorf("a later order: %v", err)
	}
}
