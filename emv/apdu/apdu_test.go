package apdu

import (
	"bytes"
	"encoding/hex"
	"errors"
	"sync"
	"testing"

	"tapkeeper/emv/emvtest"
)

func TestBuilders(t *testing.T) {
	for _, c := range []struct {
		got  Command
		want string
	}{
		{Select([]byte(PPSE), false), "00a404000e325041592e5359532e444446303100"},
		{Select([]byte{0xF0, 0x54}, true), "00a4040202f05400"},
		{GPO([]byte{0xAA}), "80a80000038301aa00"},
		{GPO(make([]byte, 0x7F)), "80a8000081837f" + hex.EncodeToString(make([]byte, 0x7F)) + "00"},
		{GPO(make([]byte, 0x80)), "80a80000838381" + "80" + hex.EncodeToString(make([]byte, 0x80)) + "00"},
		{ERRD([4]byte{1, 2, 3, 4}), "80ea0000040102030400"},
		{ReadRecord(2, 3), "00b2031400"},
		{GenerateAC(0x40, []byte{9}), "80ae4000010900"},
		{Recover([16]byte{1}, [4]byte{2}, [8]byte{3}), "80d000001c" + "01000000000000000000000000000000" + "02000000" + "0300000000000000" + "00"},
		{GetResponse(256), "00c0000000"},
		{GetResponse(0x2F), "00c000002f"},
	} {
		if got := hex.EncodeToString(c.got.Bytes()); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestParseCommand(t *testing.T) {
	for in, ok := range map[string]bool{
		"": false, "00a404": false, "00a40400": true, "00a4040000": true, "00a40400ff": true,
		"00a40400000000": false, "00a404000001aa": false, "00a4040002aa": false, "00a4040002aabb": true,
		"00a4040002aabb00": true, "00a4040002aabb0000": false, "00a4040001aa10": true,
	} {
		b, _ := hex.DecodeString(in)
		c, err := ParseCommand(b)
		if (err == nil) != ok {
			t.Errorf("%s: error %v, want ok %v", in, err, ok)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v is not ErrMalformed", in, err)
		}
		if err == nil && !bytes.Equal(c.Bytes(), b) {
			t.Errorf("%s: coded again as %X", in, c.Bytes())
		}
	}
}

func TestResponse(t *testing.T) {
	if _, err := ParseResponse([]byte{0x90}); !errors.Is(err, ErrMalformed) {
		t.Errorf("one byte: %v", err)
	}
	r, err := ParseResponse([]byte{1, 2, 0x90, 0x00})
	if err != nil || r.SW != OK || !bytes.Equal(r.Data, []byte{1, 2}) || !bytes.Equal(r.Bytes(), []byte{1, 2, 0x90, 0}) {
		t.Errorf("%+v, %v", r, err)
	}
	if n, ok := SW(0x6100).More(); n != 256 || !ok {
		t.Errorf("6100 means %d, %v", n, ok)
	}
	if n, ok := SW(0x6C10).WrongLe(); n != 16 || !ok {
		t.Errorf("6C10 means %d, %v", n, ok)
	}
	if _, ok := OK.More(); ok {
		t.Error("9000 offers more")
	}
}

// load reads the vectors once for all tests; nothing changes them.
var load = sync.OnceValues(emvtest.Dialogues)

// seeds are commands and answers of the vectors, every ninth dialogue.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	dialogues, err := load()
	if err != nil {
		tb.Fatal(err)
	}
	var all [][]byte
	for i := 0; i < len(dialogues); i += 9 {
		for _, sale := range dialogues[i].Sales {
			for _, tap := range sale.Taps {
				for _, step := range tap.Steps {
					all = append(all, step.CAPDU, step.RAPDU)
				}
			}
		}
	}
	return all
}

// FuzzParse asserts that commands and responses are coded again to the same
// bytes, that errors show none of them, and nothing is returned beside one.
func FuzzParse(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommand(b)
		switch {
		case err != nil && (!bytes.Equal(c.Bytes(), make([]byte, 4)) || emvtest.Leaks(err.Error(), b)):
			t.Fatalf("a command beside an error, or bytes in it: %v", err)
		case err == nil && !bytes.Equal(c.Bytes(), b):
			t.Fatalf("command %X coded again as %X", b, c.Bytes())
		}
		r, err := ParseResponse(b)
		switch {
		case err != nil && (r.Data != nil || r.SW != 0):
			t.Fatal("a response beside an error")
		case err == nil && !bytes.Equal(r.Bytes(), b):
			t.Fatalf("response %X coded again as %X", b, r.Bytes())
		}
	})
}

// TestAllocation: reading an APDU copies nothing.
func TestAllocation(t *testing.T) {
	for _, b := range append(seeds(t), make([]byte, 1<<16)) {
		if n := emvtest.Allocated(func() { ParseCommand(b); ParseResponse(b) }); n > 1024 {
			t.Errorf("%d bytes cost %d", len(b), n)
		}
	}
}

// TestCorpus: a fuzz target without seeds would pass on nothing, and what fuzzing
// found worth keeping is in the tree.
func TestCorpus(t *testing.T) {
	if n := len(seeds(t)); n < 100 {
		t.Errorf("%d seeds for FuzzParse", n)
	}
	for _, name := range []string{"FuzzParse"} {
		if n := emvtest.Kept(t, name); n == 0 {
			t.Errorf("nothing kept for %s", name)
		}
	}
}
