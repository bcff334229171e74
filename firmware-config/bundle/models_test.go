package bundle_test

import (
	"bytes"
	"testing"
	"time"

	firmwareconfig "tapkeeper/firmware-config"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/reader"
)

// The makes that a technician is promised, each found by the name that its driver gives it.
func TestEachMakeHasItsProfile(t *testing.T) {
	b, err := bundle.Load(firmwareconfig.Files(), bundle.Test, now)
	if err != nil {
		t.Fatal(err)
	}
	models := b.Models()
	for name, want := range map[string]string{
		"ACS ACR122U PICC Interface 00 00":                                                 "acr122u",
		"ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 00":                         "acr1252u",
		"ACS ACR1255U-J1 00 00":                                                            "acr1255u-j1",
		"ACS ACR1281U 00 01":                                                               "acr1281u",
		"ACS ACR1552 1S CL Reader [ACR1552 1S CL Reader PICC] 00 00":                       "acr1552u",
		"Identiv uTrust 3700 F CL Reader [uTrust 3700 F CL Reader] (55041545200149) 00 00": "identiv-3700f",
		"Identiv Identiv uTrust 4701 F Dual Interface Reader [uTrust 4701 F CL Reader] (53691625600270) 00 00": "identiv-4701f",
		"HID Global OMNIKEY 5022 Smart Card Reader [OMNIKEY 5022 Smart Card Reader] (KN-00F) 00 00":            "omnikey-5022",
		"HID Global OMNIKEY 5023 Smart Card Reader 00 00":                                                      "omnikey-5023",
		"HID Global OMNIKEY 5422 Smartcard Reader [OMNIKEY 5422CL Smartcard Reader] (KN-1) 01 00":              "omnikey-5422",
		"HID OMNIKEY 5427 CK (010100534E5634303104531E20192530) 00 00":                                         "omnikey-5427ck",
		"Virtual PCD 00 00":      "vpcd",
		"Brand New Reader 00 00": "pcsc-generic",
	} {
		if got := reader.ModelOf(models, name); got == nil || got.Name != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
	for _, m := range models {
		p, _ := b.Profile(m.Name)
		for _, q := range p.Quirks {
			if q.Link == "" {
				t.Errorf("%s: the quirk %q has no source", m.Name, q.What)
			}
		}
		if cues := len(m.Cues); cues > 0 && (len(m.Cues[reader.CueSuccess]) == 0 || len(m.Cues[reader.CueAlert]) == 0) {
			t.Errorf("%s: a reader with %d cues has none for paid and not paid", m.Name, cues)
		}
	}
}

func TestProfileAsADriverTakesIt(t *testing.T) {
	b, err := bundle.Load(firmwareconfig.Files(), bundle.Test, now)
	if err != nil {
		t.Fatal(err)
	}
	m := reader.ModelOf(b.Models(), "ACS ACR1252 Dual Reader 00 00")
	alert := m.Cues[reader.CueAlert]
	if len(alert) != 3 || !bytes.Equal(alert[1].Send, []byte{0xE0, 0, 0, 0x28, 1, 0x14}) || alert[1].Pause != 400*time.Millisecond || alert[2].Pause != 0 {
		t.Errorf("alert %+v", alert)
	}
	acr := reader.ModelOf(b.Models(), "ACS ACR122U PICC Interface 00 00")
	if version := acr.Firmware.Version([]byte("ACR122U203")); acr.Firmware.Judge(version) == nil || acr.Firmware.Judge("ACR122U214") != nil {
		t.Errorf("firmware %q is not told from a good one", version)
	}
	if len(acr.Setup) != 2 || acr.Escape != reader.ByPermission || !acr.Contactless {
		t.Errorf("%+v", acr)
	}
}
