package bundle_test

import (
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"tapkeeper/emv"
	firmwareconfig "tapkeeper/firmware-config"
	"tapkeeper/firmware-config/bundle"
)

// Values that are equal in the project's own data could be swapped unseen, so here each one differs.
const distinct = `schema = 1
name = "kiosk"
languages = ["en"]
offline_only = true
unattended = true
currencies = [{numeric = "0156", alpha = "CNY", exponent = 2}, {numeric = "0392", alpha = "JPY", exponent = 0}]
limits = {max_payments = 11, max_sum_minor = 2200, max_device_minor = 330, max_age_hours = 44}
relay = {command_100us = 1, answer_100us = 2, min_grace_100us = 3, max_grace_100us = 4, accuracy_100us = 5, mismatch_percent = 6}
tac.one = {denial = "FF08C00010", online = "0000000001", default = "0000000002"}
[[aids]]
aid = "F05441504BAA"
enabled = true
currency = "0392"
country = "0276"
tx_limit_minor = 9
floor_limit_minor = 8
cvm_limit_minor = 7
unlimited = ["relay"]
zero_allowed = true
mode = "online_first"
tac = "one"
crl_max_age_days = 5
`

func TestEveryValueArrives(t *testing.T) {
	tree := good(t)
	tree["terminal/default.toml"] = &fstest.MapFile{Data: []byte(distinct)}
	b, err := bundle.Load(tree, bundle.Test, now)
	if err != nil {
		t.Fatal(err)
	}
	amount := func(a emv.Amount) *emv.Amount { return &a }
	want := emv.Terminal{
		AIDs: []emv.AID{{
			AID: []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 0xAA}, Enabled: true, Currency: 392, Country: 276,
			TxLimit: amount(9), FloorLimit: amount(8), CVMLimit: amount(7), RelayLimit: nil,
			ZeroAllowed: true, OnlineFirst: true, CRLMaxAgeDays: 5,
			TACDenial: emv.TVR{0xFF, 0x08, 0xC0, 0x00, 0x10}, TACOnline: emv.TVR{4: 1}, TACDefault: emv.TVR{4: 2},
		}},
		CAKeys: b.Terminal.CAKeys, OfflineOnly: true, Unattended: true,
		Relay: emv.Relay{Command: 1, Answer: 2, MinGrace: 3, MaxGrace: 4, Accuracy: 5, Mismatch: 6},
	}
	if !reflect.DeepEqual(b.Terminal, want) {
		t.Errorf("terminal\n%+v\nwant\n%+v", b.Terminal, want)
	}
	currencies := []bundle.Currency{{Numeric: 156, Alpha: "CNY", Exponent: 2}, {Numeric: 392, Alpha: "JPY"}}
	if b.Name != "kiosk" || b.Environment != bundle.Test || !reflect.DeepEqual(b.Languages, []string{"en"}) || !reflect.DeepEqual(b.Currencies, currencies) {
		t.Errorf("name %q, environment %q, languages %q, currencies %v", b.Name, b.Environment, b.Languages, b.Currencies)
	}
	if key := b.Terminal.CAKeys[0]; key.Index != 1 || fmt.Sprintf("%X", key.RID) != "F05441504B" || !strings.HasPrefix(fmt.Sprintf("%X", key.Key), "0380295CDD") {
		t.Errorf("CA key %X %d %X is not the file's", key.RID, key.Index, key.Key)
	}
}

// The project's relay constants are the scheme's.
func TestOwnRelayConstants(t *testing.T) {
	b, err := bundle.Load(good(t), bundle.Test, now)
	if err != nil {
		t.Fatal(err)
	}
	want := emv.Relay{Command: 0x12, Answer: 0x18, MinGrace: 0x14, MaxGrace: 0x32, Accuracy: 0x12C, Mismatch: 50}
	if b.Terminal.Relay != want {
		t.Errorf("relay %+v, want %+v (scheme 5.7)", b.Terminal.Relay, want)
	}
}

func TestKeysAreToldApart(t *testing.T) {
	tap := [5]byte{0xF0, 'T', 'A', 'P', 'K'}
	other, body := caKey(t, bundle.Test, tap, 2, now)

	tree := good(t)
	tree["capk/test/second.toml"] = &fstest.MapFile{Data: body}
	if got := faults(t, tree, bundle.Test); len(got) != 1 || !strings.Contains(got[0], "want the name F05441504B-02.toml") {
		t.Errorf("a key in a file of another name: %q", got)
	}

	_, same := caKey(t, bundle.Test, tap, 1, now)
	tree = good(t)
	tree["capk/test/F05441504B-01x.toml"] = &fstest.MapFile{Data: same}
	if got := faults(t, tree, bundle.Test); len(got) != 2 || !strings.Contains(got[1], "index: want an index used once") {
		t.Errorf("an index used twice: %q", got)
	}

	// x = 1 belongs to no point of P-256.
	name, off, err := bundle.FormatCAKey(bundle.Test, tap, 2, append([]byte{2}, append(make([]byte, 31), 1)...), now, "made by a test")
	if err != nil || name != other {
		t.Fatalf("name %q, %v", name, err)
	}
	tree = good(t)
	tree[name] = &fstest.MapFile{Data: off}
	if got := faults(t, tree, bundle.Test); len(got) != 1 || !strings.Contains(got[0], "public_key: want a point of P-256") {
		t.Errorf("a key that is no point: %q", got)
	}
}

// Whatever the file says, it is refused in words or accepted by the kernel too.
func FuzzTerminal(f *testing.F) {
	own, err := fs.ReadFile(firmwareconfig.Files(), "terminal/default.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte(distinct))
	f.Add([]byte("aids = [{}]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		tree := good(t)
		tree["terminal/default.toml"] = &fstest.MapFile{Data: body}
		b, err := bundle.Load(tree, bundle.Test, now)
		if err != nil {
			if len(faults(t, tree, bundle.Test)) == 0 {
				t.Errorf("refused without a fault: %v", err)
			}
			return
		}
		b.Terminal.ID, b.Terminal.MerchantID = "T", "m"
		if err := b.Terminal.Validate(); err != nil {
			t.Errorf("the kernel refuses what was accepted: %v", err)
		}
	})
}
