package reader

import "testing"

func TestEveryStateHasAText(t *testing.T) {
	seen := map[string]State{}
	for s := Starting; s <= Closed; s++ {
		text := s.String()
		if text == "" || text == "unknown" {
			t.Errorf("state %d has no text", int(s))
		}
		if other, ok := seen[text]; ok {
			t.Errorf("states %d and %d share the text %q", int(other), int(s), text)
		}
		seen[text] = s
	}
	for _, s := range []State{-1, Closed + 1} {
		if got := s.String(); got != "unknown" {
			t.Errorf("State(%d) = %q, want unknown", int(s), got)
		}
	}
}

func TestUsable(t *testing.T) {
	want := map[State]bool{Ready: true, InUse: true, Mute: true}
	for s := Starting; s <= Closed; s++ {
		if s.Usable() != want[s] {
			t.Errorf("%v: usable = %v, want %v", s, s.Usable(), want[s])
		}
	}
}
