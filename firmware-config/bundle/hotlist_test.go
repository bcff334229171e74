package bundle_test

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"tapkeeper/emv"
	"tapkeeper/firmware-config/bundle"
)

// caKey makes a CA key file with a fresh key.
func caKey(t *testing.T, environment string, rid [5]byte, index byte, lastDay time.Time) (string, []byte) {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	xy := private.PublicKey().Bytes()[1:]
	public := elliptic.MarshalCompressed(elliptic.P256(), new(big.Int).SetBytes(xy[:32]), new(big.Int).SetBytes(xy[32:]))
	name, body, err := bundle.FormatCAKey(environment, rid, index, public, lastDay, "made by a test")
	if err != nil {
		t.Fatal(err)
	}
	return name, body
}

func TestHotlist(t *testing.T) {
	h, err := bundle.LoadHotlist(os.DirFS("testdata/hotlist"))
	if err != nil {
		t.Fatal(err)
	}
	tap := [5]byte{0xF0, 'T', 'A', 'P', 'K'}
	device, otherDevice := [6]byte{5: 0xC8}, [6]byte{5: 0xC9}
	for _, c := range []struct {
		about  string
		rid    [5]byte
		index  byte
		issuer uint32
		device *[6]byte
		want   bool
	}{
		{"revoked issuer", tap, 1, 0x2A, nil, true},
		{"other index", tap, 2, 0x2A, nil, false},
		{"other RID", [5]byte{0xF0}, 1, 0x2A, nil, false},
		{"issuer of a revoked device", tap, 1, 0x2B, nil, false},
		{"revoked device", tap, 1, 0x2B, &device, true},
		{"its neighbour", tap, 1, 0x2B, &otherDevice, false},
		{"the same serial under another issuer", tap, 1, 0x2C, &device, false},
		{"device zero", tap, 1, 0x2B, &[6]byte{}, false},
		{"device zero under a revoked issuer: step 5 has said so already", tap, 1, 0x2A, &[6]byte{}, false},
	} {
		if got := h.Revoked(c.rid, c.index, c.issuer, c.device); got != c.want {
			t.Errorf("%s: %v, want %v", c.about, got, c.want)
		}
	}
	if !h.Listed(emv.NewDeviceID([8]byte{1, 2, 3, 4, 5, 6, 7, 8})) || h.Listed(emv.NewDeviceID([8]byte{})) {
		t.Error("exception list: want 0102030405060708 and no other")
	}
	issued := time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]int{-48 * time.Hour: 0, 0: 0, 24*time.Hour - 1: 0, 24 * time.Hour: 1, 30*24*time.Hour + time.Hour: 30} {
		if got := h.AgeDays(issued.Add(after)); got != want {
			t.Errorf("age after %v is %d days, want %d", after, got, want)
		}
	}
}

func TestBadHotlists(t *testing.T) {
	for what, c := range map[string]struct{ file, old, new, blamed string }{
		"no list":        {"crl.toml", "", "", "crl.toml: want a readable file, got file does not exist"},
		"no exceptions":  {"exceptions.toml", "", "", "exceptions.toml: want a readable file, got file does not exist"},
		"no date":        {"crl.toml", "issued_at = 2026-11-01T06:00:00Z", "", "crl.toml: issued_at: want a value, got nothing"},
		"local date":     {"crl.toml", "2026-11-01T06:00:00Z", `"today"`, "crl.toml: issued_at: "},
		"version 0":      {"exceptions.toml", "version = 12", "version = 0", "exceptions.toml: version: want 1 or more, got 0"},
		"short device":   {"exceptions.toml", "0102030405060708", "01020304050607", "exceptions.toml: entries[0].device: want 8 bytes"},
		"unknown field":  {"crl.toml", "device_serial =", "device_serials =", "crl.toml: entries.device_serials: want a known field"},
		"index 0":        {"crl.toml", "index = 1", "index = 0", "crl.toml: entries[0].index: want 1 to 255, got 0"},
		"short serial":   {"crl.toml", `"0000002B"`, `"2B"`, "crl.toml: entries[1].issuer_serial: want 4 bytes"},
		"missing serial": {"crl.toml", `issuer_serial = "0000002A"`, "", "crl.toml: entries[0].issuer_serial: want a value"},
	} {
		tree := lay(t, fstest.MapFS{}, os.DirFS("testdata/hotlist"))
		text := string(tree[c.file].Data)
		if c.old == "" {
			delete(tree, c.file)
		} else if !strings.Contains(text, c.old) {
			t.Errorf("%s: %s does not contain %q", what, c.file, c.old)
		} else {
			tree[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, c.old, c.new, 1))}
		}
		_, err := bundle.LoadHotlist(tree)
		var refused *bundle.Refused
		if !errors.As(err, &refused) || !slices.ContainsFunc(refused.Faults, func(f bundle.Fault) bool { return strings.HasPrefix(f.String(), c.blamed) }) {
			t.Errorf("%s: %v, want %q", what, err, c.blamed)
		}
	}
}

func TestFormattedHotlistLoads(t *testing.T) {
	device := emv.NewDeviceID([8]byte{9, 9, 9, 9, 9, 9, 9, 9})
	files, err := bundle.FormatHotlist(3, now, []emv.DeviceID{device})
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	for name, body := range files {
		tree[name] = &fstest.MapFile{Data: body}
	}
	h, err := bundle.LoadHotlist(tree)
	if err != nil {
		t.Fatal(err)
	}
	if h.CRLVersion != 3 || !h.CRLIssued.Equal(now) || h.AgeDays(now.Add(25*time.Hour)) != 1 || !h.Listed(device) {
		t.Errorf("read back as %+v", h)
	}
}
