package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"tapkeeper/wallet/ledger/ledgertest"
)

// A child process commits takings and says so after each commit. It is killed
// in the middle; whatever it said must be in the book, and the book be sound.
func TestCommittedSurvivesKill(t *testing.T) {
	if path := os.Getenv("LEDGER_CHILD"); path != "" {
		child(path)
		return
	}
	ledgertest.Each(t, survivesKill)
}

func survivesKill(t *testing.T, path string) {
	l, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, l, accounts)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	said := map[int]bool{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCommittedSurvivesKill$")
		cmd.Env = append(os.Environ(), "LEDGER_CHILD="+path, fmt.Sprint("LEDGER_FIRST=", round*1000))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var id int
			if _, err := fmt.Sscanf(lines.Text(), "committed %d", &id); err != nil {
				t.Fatalf("the child said %q", lines.Text())
			}
			said[id] = true
			if n == 30+round*7 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	l, err = Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sound(t, l)
	list, err := l.Payments(t.Context(), "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		delete(said, int(p.Sequence))
	}
	if len(said) != 0 || len(list) < 90 {
		t.Errorf("%d payments in the book, lost: %v", len(list), said)
	}
}

func child(path string) {
	var first int
	fmt.Sscan(os.Getenv("LEDGER_FIRST"), &first)
	l, err := Open(context.Background(), path)
	for id := first; err == nil; id++ {
		p := payment(0, 1)
		p.ID = [16]byte{1, byte(id >> 8), byte(id)}
		p.Sequence = uint64(id)
		err = l.Update(context.Background(), func(tx *Tx) error {
			return errors.Join(tx.Take(p, "shop", noon), tx.Remember(Message{ID: fmt.Sprint(id), Sequence: uint64(id)}, noon))
		})
		if err == nil {
			fmt.Println("committed", id)
		}
	}
	fmt.Println("failed", err)
	os.Exit(1)
}
