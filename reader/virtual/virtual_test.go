package virtual

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/conform"
)

func open(t testing.TB) (*Reader, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "field")
	r, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, path
}

func TestConform(t *testing.T) {
	conform.Run(t, conform.Rig{Open: func(t *testing.T) (reader.Reader, readertest.Field) {
		r, path := open(t)
		return r, &readertest.DialField{Network: "unix", Address: path}
	}})
}

func TestSocketFile(t *testing.T) {
	r, path := open(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Fatalf("mode %v, %v; want %o", info.Mode(), err, socketMode)
	}
	if _, err := Listen(path); !errors.Is(err, reader.ErrBusy) {
		t.Errorf("a second reader at the same path: %v", err)
	}
	r.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("close left the socket behind: %v", err)
	}
}

func TestStaleSocketIsReplacedAndOtherFilesAreNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "field")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close() // as after kill -9
	r, err := Listen(path)
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	r.Close()
	if err := os.WriteFile(path, []byte("a file of somebody"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil {
		t.Error("a plain file was taken for a stale socket")
	}
	if b, _ := os.ReadFile(path); string(b) != "a file of somebody" {
		t.Error("the file was touched")
	}
}

// raw is a phone written by hand.
type raw struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T, path string) raw {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return raw{t, conn}
}

func (p raw) wantClosed() {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		if _, err := p.Read(make([]byte, 64)); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				p.t.Error("the phone was not thrown out")
			}
			return
		}
	}
}

func TestPhoneOutOfStepIsThrownOut(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bytes []byte
	}{
		{"speaks without being asked", []byte{0, 2, 0x90, 0x00}},
		{"no ATR", []byte{0, 0}},
		{"ATR of another kind", []byte{0, 2, 0x3F, 0x00}},
		{"half a frame", []byte{0xFF, 0xFF, 1, 2, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, path := open(t)
			odd := dial(t, path)
			odd.Write(tc.bytes)
			var phone readertest.Loop
			field := readertest.DialField{Network: "unix", Address: path}
			if err := field.Present(&phone); err != nil {
				t.Fatal(err)
			}
			defer field.Remove()
			if tc.name == "half a frame" {
				time.AfterFunc(50*time.Millisecond, func() { odd.Close() })
			} else {
				go odd.wantClosed()
			}
			card, err := r.Await(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := card.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); err != nil || len(phone.Seen()) != 1 {
				t.Errorf("the phone behind it in the backlog: %v, %d commands", err, len(phone.Seen()))
			}
			card.Release(0)
		})
	}
}

func TestSilentPhoneIsThrownOut(t *testing.T) {
	r, path := open(t)
	silent := dial(t, path)
	for range maxOwed + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
	}
	silent.wantClosed()
}

func TestSecondPhoneWaitsForTheFirst(t *testing.T) {
	r, path := open(t)
	var one, two readertest.Loop
	first := readertest.DialField{Network: "unix", Address: path}
	second := readertest.DialField{Network: "unix", Address: path}
	if err := errors.Join(first.Present(&one), second.Present(&two)); err != nil {
		t.Fatal(err)
	}
	defer second.Remove()
	for range 3 {
		card, err := r.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		card.Release(0)
	}
	if two.Activations() != 0 {
		t.Fatal("the second phone got the field while the first was in it")
	}
	first.Remove()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for two.Activations() == 0 {
		card, err := r.Await(ctx)
		if err != nil {
			t.Fatal(err)
		}
		card.Release(0)
	}
}

func BenchmarkExchange(b *testing.B) {
	r, path := open(b)
	phone := readertest.Loop{Reply: func(int, []byte) []byte { return []byte{0x90, 0x00} }}
	field := readertest.DialField{Network: "unix", Address: path}
	if err := field.Present(&phone); err != nil {
		b.Fatal(err)
	}
	defer field.Remove()
	card, err := r.Await(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer card.Release(0)
	command := append([]byte{0x00, 0xA4, 0x04, 0x00, 14}, "2PAY.SYS.DDF01\x00"...)
	for b.Loop() {
		if _, _, err := card.Transmit(b.Context(), command); err != nil {
			b.Fatal(err)
		}
	}
}
