package vault

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var testMaster = bytes.Repeat([]byte{0xA5, 0x3C}, Size/2)

func keyOf(t *testing.T, master []byte) *Key {
	t.Helper()
	k, err := newKey(func(b []byte) error { copy(b, master); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// shows fails unless a key is the one expected.
func shows(t *testing.T, k *Key, err error, want []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.Use(func(b []byte) error {
		if !bytes.Equal(b, want) {
			return errors.New("another key")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// refusedAs fails unless an error names the cause and a fix in one line each.
func refusedAs(t *testing.T, what string, err error, says string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Fix == "" || strings.Contains(e.Error()+e.Fix, "\n") || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: got %v, want one line with %q and a fix", what, err, says)
	}
}
