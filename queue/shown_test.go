package queue

import (
	"context"
	"strconv"
	"testing"
)

// Nobody reads what is not acknowledged (I4): whoever has read the value of a
// commit finds that commit in Head, and its entry in the outbox. Between the
// write to the database and the end of the anchor's sync, readers see the state
// before, whole.
func TestNothingIsShownEarly(t *testing.T) {
	s, _ := fresh(t)
	const commits = 300
	done := make(chan error, 1)
	go func() {
		for i := 1; i <= commits; i++ {
			n := strconv.Itoa(i)
			_, err := s.Commit(context.Background(), Commit{
				Event:   []byte("e"),
				Records: []Record{{"payment", "1", []byte(n)}},
				Entries: []Entry{{ID: n, Group: n, Kind: "advice", Seal: func(uint64) ([]byte, error) { return []byte(n), nil }}},
			})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		v, _, err := s.Get("payment", "1")
		if err != nil {
			t.Fatal(err)
		}
		head := s.Head().Seq
		waiting, _ := s.Depth()
		if n, _ := strconv.Atoi(string(v)); uint64(n) > head || n > waiting {
			t.Fatalf("read commit %d while the head is %d and %d entries wait", n, head, waiting)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}
