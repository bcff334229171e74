package ledger

import (
	"path/filepath"
	"testing"
)

// A ledger is closed when those who read it are done, and is not used after.
func TestCloseWaitsForReaders(t *testing.T) {
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	began, closed := make(chan struct{}), make(chan error, 1)
	go func() { <-began; closed <- l.Close() }()
	err = l.View(t.Context(), func(tx *Tx) error {
		close(began)
		for range 100 {
			if _, err := tx.Payments("", "", ""); err != nil {
				return err
			}
		}
		select {
		case err := <-closed:
			t.Errorf("closed under a reader: %v", err)
		default:
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	nothing := func(*Tx) error { return nil }
	if l.View(t.Context(), nothing) == nil || l.Update(t.Context(), nothing) == nil {
		t.Error("a closed ledger was used")
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}
