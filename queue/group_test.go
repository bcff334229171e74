package queue

import "testing"

// A group has its entries whatever became of them, and nobody else's.
func TestGroup(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Entries: []Entry{entry("a1", "a"), entry("a2", "a"), entry("b1", "b"), entry("x", "")}})
	commit(t, s, Commit{Entries: []Entry{entry("a3", "a")}, Park: []Park{{"a1", "refused"}}, Hold: []Park{{"a2", "wait"}}})
	s.Sent("b1")
	for range 2 {
		list, err := s.Group("a")
		if got := ids(t, list, err); got != "a1 a2 a3 " {
			t.Errorf("group a: %q", got)
		}
		if list[0].State != Parked || list[1].State != Held || list[2].State != Queued || list[1].Reason != "wait" {
			t.Errorf("states: %v %v %v, %q", list[0].State, list[1].State, list[2].State, list[1].Reason)
		}
		for group, want := range map[string]string{"b": "b1 ", "": "", "c": ""} {
			list, err := s.Group(group)
			if got := ids(t, list, err); got != want {
				t.Errorf("group %q: %q", group, got)
			}
		}
		s = reopen(t, s, dir)
	}
	commit(t, s, Commit{Done: []string{"a1", "a2", "a3"}})
	if list, err := s.Group("a"); err != nil || len(list) != 0 {
		t.Errorf("an empty group: %v, %v", list, err)
	}
}
