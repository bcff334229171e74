package apdu

import (
	"bytes"
	"encoding/hex"
	"errors"
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

// FuzzParse asserts that commands and responses are coded again to the same
// bytes.
func FuzzParse(f *testing.F) {
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		f.Fatal(err)
	}
	for _, step := range dialogues[0].Sales[0].Taps[0].Steps {
		f.Add([]byte(step.CAPDU))
		f.Add([]byte(step.RAPDU))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCommand(b); err == nil && !bytes.Equal(c.Bytes(), b) {
			t.Fatalf("command %X coded again as %X", b, c.Bytes())
		}
		if r, err := ParseResponse(b); err == nil && !bytes.Equal(r.Bytes(), b) {
			t.Fatalf("response %X coded again as %X", b, r.Bytes())
		}
	})
}
