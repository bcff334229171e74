package reader

import (
	"testing"
	"time"
)

func TestModelOf(t *testing.T) {
	models := []Model{
		{Name: "any", Match: []string{""}},
		{Name: "family", Match: []string{"ACME"}},
		{Name: "model", Match: []string{"other", "ACME X1"}},
	}
	for name, want := range map[string]string{"ACME X1 00 00": "model", "ACME X2 00 00": "family", "else": "any"} {
		if got := ModelOf(models, name); got == nil || got.Name != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
	if got := ModelOf(models[1:], "else"); got != nil {
		t.Errorf("a stranger has the model %s", got.Name)
	}
}

func TestVersionAndJudgement(t *testing.T) {
	text := Firmware{Form: Text, Bad: []BadFirmware{{Prefix: "ACR122U20"}}}
	headed := Firmware{Form: Text, Skip: 5}
	dotted := Firmware{Form: Dotted, Skip: 4, Drop: 2}
	bcd := Firmware{Form: BCD, Drop: 1}
	for _, tc := range []struct {
		f      Firmware
		answer string
		want   string
		bad    bool
	}{
		{text, "ACR122U203", "ACR122U203", true},
		{text, "ACR122U214\x00\x1b", "ACR122U214", false},
		{text, "", "", false},
		{headed, "\xE1\x00\x00\x00\x04V1.2", "V1.2", false},
		{headed, "\xE1\x00", "", false},
		{dotted, "\xBD\x05\x85\x03\x01\x00\x0C\x90\x00", "1.0.12", false},
		{bcd, "\x01\x12\xFF", "1.12", false},
	} {
		got := tc.f.Version([]byte(tc.answer))
		if bad := tc.f.Judge(got); got != tc.want || (bad != nil) != tc.bad {
			t.Errorf("%q: %q, bad %v; want %q, %v", tc.answer, got, bad, tc.want, tc.bad)
		}
	}
}

func TestCueNames(t *testing.T) {
	for c := CueIdle; c <= CueAlert; c++ {
		if got, ok := CueOf(c.String()); !ok || got != c {
			t.Errorf("%v: %v, %v", c, got, ok)
		}
	}
	if _, ok := CueOf("party"); ok || Cue(99).String() != "unknown" {
		t.Error("a cue that does not exist")
	}
}

func TestSpreadOf(t *testing.T) {
	var times []time.Duration
	for i := 100; i > 0; i-- {
		times = append(times, time.Duration(i))
	}
	if got, want := SpreadOf(times), (Spread{100, 1, 51, 91, 100, 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := SpreadOf(nil); got != (Spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
}
