package phone

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"tapkeeper/emv/apdu"
)

// TestPersonasAreData holds the table to what its readers rely on.
func TestPersonasAreData(t *testing.T) {
	names, sections := map[string]bool{}, map[string]int{}
	form := regexp.MustCompile(`^[a-z0-9A-F]+(-[a-z0-9A-F]+)*$`)
	for _, p := range Personas() {
		if names[p.Name] || !form.MatchString(p.Name) {
			t.Errorf("name %q: twice, or of another form", p.Name)
		}
		names[p.Name] = true
		sections[p.Section]++
		last := p.Terminal[len(p.Terminal)-1]
		if p.Doc == "" || p.Section == "" || p.Check == "" {
			t.Errorf("%s: doc, section or check is missing", p.Name)
		}
		if last.Result == tryAgain {
			t.Errorf("%s: no end", p.Name)
		}
		// A lie that a terminal cannot see must be one that the issuer proves.
		if last.Result == approved && !p.Harmless && (p.Backend == nil || p.Backend.Step == 0 || !strings.HasPrefix(p.Check, "9.4")) {
			t.Errorf("%s: nobody stops it", p.Name)
		}
		if again, ok := PersonaNamed(p.Name); !ok || again.Doc != p.Doc {
			t.Errorf("%s is not found by its name", p.Name)
		}
	}
	if _, ok := PersonaNamed("nobody"); ok {
		t.Error("found a persona that does not exist")
	}
	t.Logf("%d personas: %v", len(names), sections)
	for section, least := range map[string]int{"11": 40, "5.2": 30, "5.9": 12, "8.5": 14, "8.6": 14, "0.1": 100} {
		if sections[section] < least {
			t.Errorf("section %s has %d personas, want at least %d", section, sections[section], least)
		}
	}
}

func TestToolsAreAskedFor(t *testing.T) {
	needs := func(name string) Persona {
		p, ok := PersonaNamed(name)
		if !ok {
			t.Fatalf("no persona %s", name)
		}
		return p
	}
	if _, err := needs("grant-expired").Play(newPhone(t, testProfile(1)).Wallet, Tools{}); !errors.Is(err, ErrNeedsIssuer) {
		t.Errorf("without the issuer's key: %v", err)
	}
	if _, err := needs("recover-other-card").Play(newPhone(t, testProfile(1)).Wallet, Tools{}); !errors.Is(err, ErrNeedsPhones) {
		t.Errorf("without other phones: %v", err)
	}
}

// TestActorIsAPhone: without tricks a persona is its wallet; it leaves when it
// says so, and sleeps as it is told.
func TestActorIsAPhone(t *testing.T) {
	command := apdu.Select([]byte(apdu.PPSE), false).Bytes()
	u := newPhone(t, testProfile(1))
	want := string(u.Transmit(command))
	var slept time.Duration
	p := Persona{tricks: []trick{
		nth(2, at(stepPPSE, delay(time.Hour))), nth(3, at(stepPPSE, tears())),
	}}
	a, err := p.Play(u.Wallet, Tools{Sleep: func(d time.Duration) { slept += d }})
	if err != nil {
		t.Fatal(err)
	}
	a.PowerOn()
	for n, ok := range []bool{true, true, false, false} {
		if got := a.Transmit(command); (string(got) == want) != ok || !ok && got != nil {
			t.Errorf("answer %d is %X", n+1, got)
		}
	}
	if slept != time.Hour {
		t.Errorf("slept %s", slept)
	}
	a.PowerOff()
	a.PowerOn()
	if got := a.Transmit(command); string(got) != want {
		t.Errorf("after it came back: %X", got)
	}
}
