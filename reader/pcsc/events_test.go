package pcsc

import (
	"encoding/hex"
	"testing"
)

var plainATR = []byte{0x3B, 0x80, 0x80, 0x01, 0x01}

func TestSlotOf(t *testing.T) {
	contact := []byte{0x3B, 0x00}
	for _, tc := range []struct {
		name  string
		event flags
		atr   []byte
		phase phase
		taken bool
	}{
		{"empty", 0x12, nil, empty, false},
		{"empty, ATR of the last card still there", 0x12, plainATR, empty, false},
		{"empty, held by another program", 0x92, nil, empty, true},
		{"phone", 0x22, plainATR, present, false},
		{"phone, event counter in the high half", 0x00070022, plainATR, present, false},
		{"phone, taken", 0x1A2, plainATR, present, true},
		{"mute card", 0x222, nil, mute, false},
		{"contact card", 0x22, contact, mute, false},
		{"present without ATR", 0x22, nil, mute, false},
		{"unplugged", 0xE, nil, away, false},
		{"reader lost without udev", 0xA, plainATR, away, false},
	} {
		got := slotOf(entry{reader: "r", event: tc.event, atr: tc.atr})
		if got != (slot{"r", tc.phase, tc.taken, tc.event >> 16, tc.event&flagMute != 0, false}) {
			t.Errorf("%s: %+v, want phase %d taken %v", tc.name, got, tc.phase, tc.taken)
		}
	}
}

func TestSlotIsDoubtfulWhenNobodySawTheCardGo(t *testing.T) {
	for _, tc := range []struct {
		name       string
		last, now  flags
		isDoubtful bool
	}{
		{"removal was counted", 0x00010022, 0x00020012, false},
		{"marked as empty by a failed call", 0x00010022, 0x00010012, true},
		{"no card before", 0, 0x00010012, false},
		{"no counter in this version", 0x22, 0x12, false},
		{"card is there", 0x00010022, 0x00010022, false},
	} {
		old := []entry{{reader: plugAndPlay}, {reader: "r", event: tc.last}}
		entries, _ := carry([]string{"r"}, old)
		entries[1].event = tc.now
		if got := slotOf(entries[1]).doubtful; got != tc.isDoubtful {
			t.Errorf("%s: %v", tc.name, got)
		}
		// It stays so as long as nothing is counted.
		entries, _ = carry([]string{"r"}, entries)
		if got := slotOf(entries[1]).doubtful; got != tc.isDoubtful {
			t.Errorf("%s, a round later: %v", tc.name, got)
		}
	}
}

func TestContactless(t *testing.T) {
	for atr, want := range map[string]bool{
		"":             false,
		"3b80800101":   true,
		"3b80800102":   false, // check byte
		"3b8080010100": false, // a byte too many
		"3b81800100":   false, // a historical byte missing
		"3b8180018080": true,  // Android's usual one
		"3b8f8001804f0ca000000306030001000000006a": true, // PC/SC part 3, storage card
		"3b9080800101":       false,
		"3f80800101":         false,
		"3b80810101":         false,
		"3b6500002063cb6800": false, // contact card
	} {
		b, err := hex.DecodeString(atr)
		if err != nil {
			t.Fatal(err)
		}
		if got := contactless(b); got != want {
			t.Errorf("%s: %v", atr, got)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, tc := range []struct {
		name  string
		want  string
		names []string
		found string
	}{
		{"none", "", nil, ""},
		{"exact", "B 00 00", []string{"A 00 00", "B 00 00"}, "B 00 00"},
		{"without the numbers", "B", []string{"A 00 00", "B 01 00"}, "B 01 00"},
		{"without the numbers, two of them", "B", []string{"B 00 00", "B 01 00"}, ""},
		{"without the numbers, a second slot", "B", []string{"B 00 00", "B 00 01"}, "B 00 00"},
		{"serial number under another number", "B (17) 00 00", []string{"B (18) 00 00", "B (17) 01 00"}, "B (17) 01 00"},
		{"serial number, other slot", "B (17) 00 01", []string{"B (17) 00 00", "B (17) 01 01"}, "B (17) 01 01"},
		{"another reader of the make under its number", "B 00 00", []string{"B 01 00"}, ""},
		{"the only one", "", []string{"Virtual PCD 00 00"}, "Virtual PCD 00 00"},
		{"first of equals", "", []string{"Virtual PCD 00 00", "Virtual PCD 00 01"}, "Virtual PCD 00 00"},
		{"PICC before ICC", "", []string{"ACS ACR1281U ICC Interface 00 00", "ACS ACR1281U PICC Interface 00 01"}, "ACS ACR1281U PICC Interface 00 01"},
		{"CL of a dual device", "", []string{"OMNIKEY 5422 Smartcard Reader 00 00", "OMNIKEY 5422CL Smartcard Reader-CL 00 01"}, "OMNIKEY 5422CL Smartcard Reader-CL 00 01"},
		{"ACR122U", "", []string{"Some Reader 00 00", "ACS ACR122U 01 00"}, "ACS ACR122U 01 00"},
		{"no SAM slot", "", []string{"ACS ACR1252 SAM Interface 00 00"}, ""},
		{"no contact slot", "", []string{"Identive Contact Reader 00 00"}, ""},
	} {
		var slots []slot
		for _, n := range tc.names {
			slots = append(slots, slot{name: n})
		}
		got, ok := choose(slots, tc.want)
		if got.name != tc.found || ok != (tc.found != "") {
			t.Errorf("%s: %q, %v; want %q", tc.name, got.name, ok, tc.found)
		}
	}
}

func TestCarry(t *testing.T) {
	seen := []entry{
		{reader: plugAndPlay, event: 0x00020002},
		{reader: "here", event: 0x00050022, atr: plainATR},
		{reader: "unplugged", event: 0xE},
		{reader: "gone", event: 0x12},
	}
	entries, fresh := carry([]string{"here", "unplugged", "new"}, seen)
	want := []entry{
		{reader: plugAndPlay, state: 0x00020000}, {reader: "here", state: 0x00050020}, {reader: "unplugged"}, {reader: "new"},
	}
	if len(entries) != len(want) || !fresh {
		t.Fatalf("%d entries, fresh %v", len(entries), fresh)
	}
	for i, e := range entries {
		if e.reader != want[i].reader || e.state != want[i].state {
			t.Errorf("entry %d: %s 0x%X, want %s 0x%X", i, e.reader, e.state, want[i].reader, want[i].state)
		}
	}
	if _, fresh := carry([]string{"here"}, seen); fresh {
		t.Error("a known reader is fresh")
	}
	entries, _ = carry(make([]string, 40), nil)
	if len(entries) != maxReaders+1 {
		t.Errorf("a wait for %d entries; pcsc-lite allows %d", len(entries), maxReaders+1)
	}
}
