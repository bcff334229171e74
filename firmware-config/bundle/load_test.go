package bundle_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	firmwareconfig "tapkeeper/firmware-config"
	"tapkeeper/firmware-config/bundle"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// good is the project's own data, in a form that a test can change.
func good(t *testing.T) fstest.MapFS {
	t.Helper()
	return lay(t, fstest.MapFS{}, firmwareconfig.Files())
}

// lay puts the files of one folder over another.
func lay(t *testing.T, under fstest.MapFS, over fs.FS) fstest.MapFS {
	t.Helper()
	err := fs.WalkDir(over, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(over, name)
		under[name] = &fstest.MapFile{Data: body}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return under
}

// faults loads a folder and returns what was found, one line each.
func faults(t *testing.T, fsys fs.FS, environment string) []string {
	t.Helper()
	b, err := bundle.Load(fsys, environment, now)
	if err == nil {
		return nil
	}
	var refused *bundle.Refused
	if !errors.As(err, &refused) {
		t.Fatalf("error %v is a %T, want *Refused", err, err)
	}
	if b != nil {
		t.Error("a refused bundle was returned all the same")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has more than one line: %q", err)
	}
	var lines []string
	for _, f := range refused.Faults {
		lines = append(lines, f.String())
	}
	return lines
}

func TestOwnDataIsGood(t *testing.T) {
	b, err := bundle.Load(firmwareconfig.Files(), bundle.Test, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Terminal.AIDs) != 2 || len(b.Terminal.CAKeys) != 1 || len(b.Expired) != 0 {
		t.Errorf("AIDs %d, CA keys %d, expired %v; want 2, 1, none", len(b.Terminal.AIDs), len(b.Terminal.CAKeys), b.Expired)
	}
	a := b.Terminal.AIDs[0]
	if fmt.Sprintf("%X", a.AID) != "F05441504B0101" || *a.TxLimit != 500000 || *a.FloorLimit != 20000 || *a.CVMLimit != 10000 || *a.RelayLimit != 0 ||
		fmt.Sprintf("%X", a.TACDenial[:]) != "FF78C00010" || fmt.Sprintf("%X", a.TACOnline[:]) != "008400FF0D" || a.CRLMaxAgeDays != 30 {
		t.Errorf("first application is not scheme 3.1's: %+v", a)
	}
	if want := (bundle.Limits{Payments: 1000, SumMinor: 2000000, PerDevice: 50000, Age: 72 * time.Hour}); b.Limits != want {
		t.Errorf("limits %+v, want %+v", b.Limits, want)
	}
	if _, err := bundle.Load(os.DirFS(".."), bundle.Test, now); err != nil {
		t.Errorf("the folder of a checkout: %v", err)
	}
	if _, ok := b.Profile("virtual"); !ok {
		t.Error("no virtual reader in a test environment")
	}
	if p, ok := b.Profile("pcsc-generic"); !ok || !p.Fits("Virtual PCD 00 00") {
		t.Error("the generic profile does not fit any reader")
	}
}

func TestBadFolders(t *testing.T) {
	folders, err := filepath.Glob("testdata/bad/*")
	if err != nil || len(folders) < 5 {
		t.Fatalf("%d bad folders, %v: the test data is missing", len(folders), err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(folder, "want.txt"))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(text)), "\n")
			got := faults(t, lay(t, good(t), os.DirFS(folder)), bundle.Test)
			if !slices.Equal(got, want) {
				t.Errorf("faults\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// One change each, and the field that must be blamed for it.
func TestEachFieldIsHeld(t *testing.T) {
	const terminal, key, profile = "terminal/default.toml", "capk/test/F05441504B-01.toml", "profiles/pcsc-generic.toml"
	const acs = "profiles/acr122u.toml"
	for _, c := range []struct{ file, old, new, blamed string }{
		{terminal, `schema = 1`, `schema = 2`, "schema"},
		{terminal, `name = "default"`, ``, "name"},
		{terminal, `languages = ["zh", "en"]`, `languages = ["zh", "de"]`, "languages"},
		{terminal, `languages = ["zh", "en"]`, `languages = []`, "languages"},
		{terminal, `languages = ["zh", "en"]`, `languages = "zh"`, "languages"},
		{terminal, `offline_only = false`, `offline_only = "no"`, "offline_only"},
		{terminal, `numeric = "0156"`, `numeric = "156"`, "currencies[0].numeric"},
		{terminal, `alpha = "CNY"`, `alpha = "RMB1"`, "currencies[0].alpha"},
		{terminal, `exponent = 2`, `exponent = 5`, "currencies[0].exponent"},
		{terminal, `max_payments = 1000 `, `max_payments = 0 `, "limits.max_payments"},
		{terminal, `max_sum_minor = 2000000`, `max_sum_minor = 40000`, "limits.max_device_minor"},
		{terminal, `max_age_hours = 72`, `max_age_hours = 721`, "limits.max_age_hours"},
		{terminal, `max_age_hours = 72`, ``, "limits.max_age_hours"},
		{terminal, `max_grace_100us = 50`, `max_grace_100us = 19`, "relay.max_grace_100us"},
		{terminal, `accuracy_100us = 300`, `accuracy_100us = 65536`, "relay.accuracy_100us"},
		{terminal, `online = "0000000000"`, `online = "00000000"`, "tac.offline_only.online"},
		{terminal, `default = "008400FF0D"`, `default = "008400ff0d"`, "tac.online_capable.default"},
		{terminal, `aid = "F05441504B0102"`, `aid = "F05441504B0101"`, "aids[1].aid"},
		{terminal, `aid = "F05441504B0102"`, `aid = "F05441504B010199"`, "aids[1].aid"},
		{terminal, `aid = "F05441504B0102"`, `aid = "A0000000030102"`, "aids[1].aid"},
		{terminal, `aid = "F05441504B0102"`, `aid = "F0544150"`, "aids[1].aid"},
		{terminal, `currency = "0156"         #`, `currency = "0978" #`, "aids[0].currency"},
		{terminal, `tx_limit_minor = 500000   #`, `tx_limit_minor = 1000000000000 #`, "aids[0].tx_limit_minor"},
		{terminal, `tx_limit_minor = 500000   #`, `tx_limit_minor = 19999 #`, "aids[0].floor_limit_minor"},
		{terminal, `unlimited = []`, `unlimited = ["cvm"]`, "aids[0].cvm_limit_minor"},
		{terminal, `mode = "offline_first"    #`, `mode = "offline" #`, "aids[0].mode"},
		{terminal, `tac = "online_capable"    #`, `tac = "none" #`, "aids[0].tac"},
		{terminal, `crl_max_age_days = 30     #`, `crl_max_age_days = 91 #`, "aids[0].crl_max_age_days"},
		{terminal, "enabled = true", "enabled = false", ""}, // the first only: one application is enough
		{key, `index = 1`, `index = 2`, "sha256"},
		{key, `index = 1`, `index = 256`, "index"},
		{key, `environment = "test"`, `environment = "live"`, "environment"},
		{key, `not_after = 2036-12-31`, `not_after = "never"`, "not_after"},
		{key, `source = "emv`, `sauce = "emv`, "sauce"},
		{profile, `transport = "pcsc"`, `transport = "usb"`, "transport"},
		{profile, `name = "pcsc-generic"`, `name = "other"`, "name"},
		{profile, `max_answer_bytes = 258`, `max_answer_bytes = 1`, "max_answer_bytes"},
		{profile, `quirks = []`, `quirks = [{what = "slow", reason = ""}]`, "quirks[0].link"},
		{profile, `title = "any PC/SC reader"`, `title = ""`, "reader.title"},
		{profile, `usb = []`, `usb = ["72f:2200"]`, "reader.usb"},
		{profile, `contactless = false`, ``, "reader.contactless"},
		{profile, `escape = ""`, `escape = "shout"`, "reader.escape"},
		{profile, `setup = [] `, `setup = ["FF00"] `, "reader.escape"}, // commands, and no way to send them
		{acs, `setup = ["FF0051E300", "FF00520000"]`, `setup = ["ff0051e300"]`, "reader.setup"},
		{acs, `ask = "FF00480000"`, `ask = "FF0048000"`, "reader.firmware.ask"},
		{acs, `form = "text"`, `form = "prose"`, "reader.firmware.form"},
		{acs, `skip = 0`, `skip = 65`, "reader.firmware.skip"},
		{acs, `prefix = "ACR122U200"`, `prefix = ""`, "reader.firmware.bad"},
		{acs, `idle = [`, `party = [`, "reader.cues.party"},
		{acs, `error = ["FF00400D0400000000"]`, `error = []`, "reader.cues.error"},
		{acs, `error = ["FF00400D0400000000"]`, `error = ["pause 20"]`, "reader.cues.error"},
		{acs, `error = ["FF00400D0400000000"]`, `error = ["FF", "pause 2000"]`, "reader.cues.error"},
		{acs, `error = ["FF00400D0400000000"]`, `error = ["FF", "pause soon"]`, "reader.cues.error"},
	} {
		tree := good(t)
		text := string(tree[c.file].Data)
		if !strings.Contains(text, c.old) {
			t.Errorf("%s does not contain %q", c.file, c.old)
			continue
		}
		tree[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, c.old, c.new, 1))}
		got := faults(t, tree, bundle.Test)
		if c.blamed == "" && len(got) == 0 {
			continue
		}
		if blamed := c.file + ": " + c.blamed + ": want "; !slices.ContainsFunc(got, func(g string) bool { return c.blamed != "" && strings.HasPrefix(g, blamed) }) {
			t.Errorf("%q for %q: nobody blames %q: %q", c.new, c.old, c.blamed, got)
		}
	}
}

func TestMissingFiles(t *testing.T) {
	for name, want := range map[string]string{
		"terminal/default.toml":        "terminal/default.toml: want a readable file",
		"capk/test/F05441504B-01.toml": "terminal/default.toml: aids[0].aid: want a CA key",
	} {
		tree := good(t)
		delete(tree, name)
		if got := faults(t, tree, bundle.Test); len(got) == 0 || !strings.HasPrefix(got[0], want) {
			t.Errorf("without %s: %q, want %q", name, got, want)
		}
	}
	tree := good(t)
	tree["terminal/default.toml"] = &fstest.MapFile{Data: make([]byte, 1<<20+1)}
	if got := faults(t, tree, bundle.Test); len(got) != 1 || !strings.Contains(got[0], "at most") {
		t.Errorf("a file of more than a megabyte: %q", got)
	}
	if got := faults(t, good(t), "production"); len(got) != 1 {
		t.Errorf("an environment that does not exist: %q", got)
	}
}

// The project's own data must never be live.
func TestLive(t *testing.T) {
	if got := faults(t, good(t), bundle.Live); len(got) == 0 || !strings.Contains(got[0], "capk/live") {
		t.Errorf("test data in a live environment: %q", got)
	}
	tree := good(t)
	text := strings.ReplaceAll(string(tree["terminal/default.toml"].Data), "F05441504B", "F04C495645")
	tree["terminal/default.toml"] = &fstest.MapFile{Data: []byte(text)}
	name, body := caKey(t, bundle.Live, [5]byte{0xF0, 'L', 'I', 'V', 'E'}, 3, now)
	tree[name] = &fstest.MapFile{Data: body}
	b, err := bundle.Load(tree, bundle.Live, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Terminal.CAKeys) != 1 || b.Terminal.CAKeys[0].Index != 3 {
		t.Errorf("CA keys %+v, want the live one alone", b.Terminal.CAKeys)
	}
	if _, ok := b.Profile("virtual"); ok {
		t.Error("the virtual reader is offered in a live environment")
	}
	// An operator that issues a live key under the test RID has misunderstood something.
	tree = good(t)
	name, body = caKey(t, bundle.Live, [5]byte{0xF0, 'T', 'A', 'P', 'K'}, 9, now)
	tree[name] = &fstest.MapFile{Data: body}
	if got := faults(t, tree, bundle.Live); len(got) != 2 || !strings.Contains(got[0], "the test RID") {
		t.Errorf("live key under the test RID: %q", got)
	}
}

func TestExpiredKeysAreLeftOut(t *testing.T) {
	tree := good(t)
	yesterday, bodyOld := caKey(t, bundle.Test, [5]byte{0xF0, 'T', 'A', 'P', 'K'}, 2, now.AddDate(0, 0, -1))
	today, bodyNew := caKey(t, bundle.Test, [5]byte{0xF0, 'T', 'A', 'P', 'K'}, 3, now)
	tree[yesterday], tree[today] = &fstest.MapFile{Data: bodyOld}, &fstest.MapFile{Data: bodyNew}
	b, err := bundle.Load(tree, bundle.Test, now)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Expired, []string{yesterday}) || len(b.Terminal.CAKeys) != 2 {
		t.Errorf("expired %v, keys %d; want %v, 2", b.Expired, len(b.Terminal.CAKeys), yesterday)
	}
}
