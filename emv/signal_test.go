package emv

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// played says a signal in words.
func played(s Signal) string {
	var b strings.Builder
	for _, l := range s.Lights {
		fmt.Fprintf(&b, "%04b", l.On)
		if l.For > 0 {
			fmt.Fprintf(&b, " %v", l.For)
		}
		b.WriteString(", ")
	}
	for _, t := range s.Tone {
		fmt.Fprintf(&b, "%d Hz %v, ", t.Hertz, t.For)
	}
	if s.Every > 0 {
		fmt.Fprintf(&b, "every %v", s.Every)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

const (
	successPlayed = "0001 63ms, 0011 62ms, 0111 63ms, 1111 62ms, 1111 750ms, 0000, 1500 Hz 500ms"
	errorPlayed   = "1000 750ms, 0000"
	alertPlayed   = errorPlayed + ", 750 Hz 200ms, 0 Hz 200ms, 750 Hz 200ms"
)

func TestSignals(t *testing.T) {
	for _, c := range []struct {
		m    Message
		s    Status
		want string
	}{
		{MsgNone, StatusNotReady, "0000"},
		{MsgWelcome, StatusIdle, "0001 200ms, 0000 4.8s, every 5s"},
		{MsgPresent, StatusReady, "0001"},
		{MsgPresentAgain, StatusReady, "0001"},
		{MsgOneCard, StatusReady, "0001"},
		{MsgProcessing, StatusProcessing, "0011"},
		{MsgApproved, StatusRead, successPlayed},
		{MsgAuthorising, StatusRead, "0011"},
		{MsgRemove, StatusRead, "0011"},
		{MsgDeclined, StatusRead, alertPlayed},
		{MsgError, StatusError, alertPlayed},
		{MsgOtherCard, StatusError, alertPlayed},
		{MsgSeePhone, StatusError, errorPlayed},
		{MsgPresentAgain, StatusError, errorPlayed},
		{MsgOtherInterface, StatusError, errorPlayed},
		{MsgOneCard, StatusError, errorPlayed},
		{MsgApproved, Status(9), "0000"},
	} {
		if got := played(SignalOf(c.m, c.s)); got != c.want {
			t.Errorf("message %02X status %02X: %s, want %s", byte(c.m), byte(c.s), got, c.want)
		}
	}
	for _, s := range []Signal{SignalOf(MsgApproved, StatusRead), SignalOf(MsgWelcome, StatusIdle)} {
		var lit, all time.Duration
		for _, l := range s.Lights {
			all += l.For
			if l.On == LED1|LED2|LED3|LED4 && l.For == 750*ms {
				lit = all - l.For
			}
		}
		if s.Every > 0 && all != s.Every || s.Every == 0 && lit != 250*ms {
			t.Errorf("%s: the times do not add up", played(s))
		}
	}
}

// TestSignalsFollowTheScheme reads the outcomes of scheme 3.6 and its sentence
// about lights and tones where they are written.
func TestSignalsFollowTheScheme(t *testing.T) {
	b, err := os.ReadFile("../docs/scheme.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, sentence := range []string{
		"idle LED1 200 ms every 5 s; ready LED1 solid; processing LED1+2; success LEDs 1–4 lit over 250 ms then all 750 ms; error only LED4 750 ms.",
		"Tones: success 1500 Hz 500 ms; alert 750 Hz 200 on/200 off/200 on.",
	} {
		if !strings.Contains(text, sentence) {
			t.Errorf("scheme 3.6 no longer says: %s", sentence)
		}
	}
	rows := regexp.MustCompile(`(?m)^\| [A-Z_]+[^|]*\| [B–] \| ([^|]*status 0[^|]*)\| (\d+) \|`).FindAllStringSubmatch(text, -1)
	if len(rows) < 8 {
		t.Fatalf("%d outcomes found in scheme 3.6", len(rows))
	}
	for _, row := range rows {
		for _, ui := range regexp.MustCompile(`\b(?:([0-9A-F]{2}) or )?([0-9A-F]{2}) status (0\d)(.*)`).FindAllStringSubmatch(row[1], -1) {
			for _, m := range ui[1:3] {
				var message, status byte
				if m == "" {
					continue
				}
				fmt.Sscanf(m+" "+ui[3], "%X %X", &message, &status)
				s := played(SignalOf(Message(message), Status(status)))
				if strings.Contains(ui[4], "tone success") != strings.Contains(s, "1500 Hz") ||
					strings.Contains(ui[4], "tone alert") != strings.Contains(s, "750 Hz") ||
					strings.Contains(ui[4], "LEDs success") != strings.Contains(s, "1111") {
					t.Errorf("%s status %s%s: played as %s", m, ui[3], ui[4], s)
				}
			}
		}
	}
}

// TestOutcomesSignal: every outcome of the vectors has its lights, and only an
// approval lights all four.
func TestOutcomesSignal(t *testing.T) {
	d := one(t, "an approval", approved)
	_, _, step, _ := halfway(t, newStage(d), d, over)
	if played(step.Outcome.Signal()) != successPlayed {
		t.Errorf("approved: %s", played(step.Outcome.Signal()))
	}
	_, x, _, _ := halfway(t, newStage(d), d, func(s Step) bool { return s.Send != nil })
	o := x.Lost(0).Outcome
	if played(o.Signal()) != errorPlayed || played(o.RestartSignal()) != "0001" || o.Hold != 300*ms || o.FieldOff != 300*ms {
		t.Errorf("present again: %s, then %s", played(o.Signal()), played(o.RestartSignal()))
	}
	for _, r := range []Outcome{decline(ReasonRisk), authorise(), undetermined(), otherInterface(ReasonLimits), malformed("")} {
		if strings.Contains(played(r.Signal()), "1111") {
			t.Errorf("%v lights all four", r.Result)
		}
	}
}

// TestTextsFollowTheScheme compares the texts with the tables of scheme 3.6 and
// 10, where a row is added or changed first.
func TestTextsFollowTheScheme(t *testing.T) {
	b, err := os.ReadFile("../docs/scheme.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "| msg | meaning | zh-CN | en |")
	first, rest, _ := strings.Cut(rest, "LEDs (4")
	_, second, _ := strings.Cut(rest, "## 10. Reasons")
	second, _, _ = strings.Cut(second, "## 11.")
	row := regexp.MustCompile(`(?m)^\| ([0-9A-F]{2}) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|(?: ([^|]*) \|)?`)
	rows := row.FindAllStringSubmatch(first, -1)
	for _, r := range rows {
		var m Message
		fmt.Sscanf(r[1], "%X", &m)
		if m.Text(Chinese) != r[3] || m.Text(English) != r[4] {
			t.Errorf("message %s: %s, %s", r[1], m.Text(Chinese), m.Text(English))
		}
	}
	if len(rows) != len(messages) {
		t.Errorf("%d messages in the scheme, %d here", len(rows), len(messages))
	}
	rows = row.FindAllStringSubmatch(second, -1)
	for _, r := range rows {
		var why Reason
		fmt.Sscanf(r[1], "%X", &why)
		side, retry := strings.ReplaceAll(r[2], "–", ""), strings.ReplaceAll(r[5], "–", "")
		if why.Text(Chinese) != r[3] || why.Text(English) != r[4] || string(why.Side()) != side || string(why.Retry()) != retry {
			t.Errorf("reason %s: %q %s, %s, %q", r[1], why.Side(), why.Text(Chinese), why.Text(English), why.Retry())
		}
	}
	if len(rows) != len(reasons) {
		t.Errorf("%d reasons in the scheme, %d here", len(rows), len(reasons))
	}
}
