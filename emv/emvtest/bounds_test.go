package emvtest

import "testing"

var kept []byte

func TestBounds(t *testing.T) {
	b := []byte{0x9F, 0x26, 0x08, 0x11, 0x22}
	for text, want := range map[string]bool{
		"object 9F2608 twice": false, "value 26081122": true, "value 2608112": false, "at 9f260811": true, "raw \x9F\x26\x08\x11": true, "": false,
	} {
		if Leaks(text, b) != want {
			t.Errorf("%q: leaks %v", text, !want)
		}
	}
	if Leaks("malformed TLV", []byte("malformed TLV")) {
		t.Error("a word is taken for a secret")
	}
	if n := Allocated(func() { kept = make([]byte, 1<<20) }); n < 1<<20 || n > 2<<20 {
		t.Errorf("1 MiB is counted as %d", n)
	}
}
