package queue

import (
	"context"
	"fmt"
	"testing"
)

// What the caller has comes without its body, everything else as from Waiting.
func TestWaitingBut(t *testing.T) {
	s, _ := fresh(t)
	for n := range 5 {
		id := fmt.Sprint("entry-", n)
		_, err := s.Commit(context.Background(), Commit{Event: []byte("e"), Entries: []Entry{{ID: id, Group: id, Kind: "advice",
			Seal: func(uint64) ([]byte, error) { return []byte("body of " + id), nil }}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Waiting(10)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.WaitingBut(10, func(id string) bool { return id == "entry-2" })
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d of %d, %v", len(got), len(all), err)
	}
	for i, e := range got {
		if e.ID != all[i].ID || e.Group != all[i].Group || e.Seq != all[i].Seq {
			t.Errorf("entry %d: %+v, want %+v", i, e, all[i])
		}
		if known := e.ID == "entry-2"; (e.Body == nil) != known || !known && string(e.Body) != string(all[i].Body) {
			t.Errorf("entry %s has the body %q", e.ID, e.Body)
		}
	}
}
