//go:build !cgo || nopcsc

package pcsc

import (
	"errors"
	"testing"
)

func TestWithoutPCSC(t *testing.T) {
	if _, err := New(); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("New: %v", err)
	}
	if _, err := List(t.Context()); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("List: %v", err)
	}
}
