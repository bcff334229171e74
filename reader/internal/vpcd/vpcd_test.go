package vpcd

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestReadFrame(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		want []byte
		err  error
	}{
		{"nothing", nil, nil, io.EOF},
		{"half a length", []byte{0}, nil, io.ErrUnexpectedEOF},
		{"empty frame", []byte{0, 0}, []byte{}, nil},
		{"one byte", []byte{0, 1, 4}, []byte{4}, nil},
		{"no payload", []byte{0, 1}, nil, io.ErrUnexpectedEOF},
		{"cut payload", []byte{0, 3, 1, 2}, nil, io.ErrUnexpectedEOF},
		{"rest is left", []byte{0, 2, 0x90, 0, 9}, []byte{0x90, 0}, nil},
		{"long", append([]byte{0xFF, 0xFF}, make([]byte, MaxFrame)...), make([]byte, MaxFrame), nil},
	} {
		got, err := ReadFrame(bytes.NewReader(tc.in))
		if !errors.Is(err, tc.err) || !bytes.Equal(got, tc.want) {
			t.Errorf("%s: %d bytes, %v; want %d bytes, %v", tc.name, len(got), err, len(tc.want), tc.err)
		}
	}
}

type writes struct{ n int }

func (w *writes) Write(p []byte) (int, error) { w.n++; return len(p), nil }

func TestWriteFrameIsOneWriteAndRefusesWhatDoesNotFit(t *testing.T) {
	var w writes
	if err := WriteFrame(&w, make([]byte, MaxFrame)); err != nil || w.n != 1 {
		t.Errorf("longest frame: %d writes, %v", w.n, err)
	}
	if err := WriteFrame(&w, make([]byte, MaxFrame+1)); err == nil || w.n != 1 {
		t.Errorf("a frame that is too long was written (%v)", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 2, 0x90, 0})
	f.Add([]byte{0xFF, 0xFF, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := ReadFrame(bytes.NewReader(in))
		if err != nil {
			if frame != nil {
				t.Fatal("bytes beside an error")
			}
			return
		}
		var out bytes.Buffer
		if err := WriteFrame(&out, frame); err != nil || !bytes.Equal(out.Bytes(), in[:2+len(frame)]) {
			t.Fatalf("%x became %x (%v)", in, out.Bytes(), err)
		}
	})
}
