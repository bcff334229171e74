package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapkeeper/reader/readertest"
)

// A reader written by hand, from vpcd's description and not from our codec.
type byHand struct {
	t    *testing.T
	conn net.Conn
}

func (r byHand) send(payload ...byte) {
	r.t.Helper()
	frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(payload))), payload...)
	if _, err := r.conn.Write(frame); err != nil {
		r.t.Error(err)
	}
}

func (r byHand) receive() []byte {
	r.t.Helper()
	var head [2]byte
	r.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(r.conn, head[:]); err != nil {
		r.t.Error(err)
		return nil
	}
	answer := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(r.conn, answer); err != nil {
		r.t.Error(err)
	}
	return answer
}

// listen takes one phone and does with it what a test says; then it lets it go.
func listen(t *testing.T, network, address string, with func(byHand)) (connect string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		with(byHand{t, conn})
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return network + ":" + l.Addr().String()
}

func walletFile(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("testdata/wallet.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "wallet.json")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func phonesim(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	code = run(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

var selectPPSE = append([]byte{0x00, 0xA4, 0x04, 0x00, 14}, "2PAY.SYS.DDF01\x00"...)

// tapOnce is the beginning of a payment, as a terminal makes it.
func tapOnce(r byHand) {
	r.t.Helper()
	r.send(1)
	r.send(4)
	if atr := r.receive(); !bytes.Equal(atr, readertest.ATR()) {
		r.t.Errorf("ATR %X", atr)
	}
	r.send(selectPPSE...)
	if answer := r.receive(); len(answer) < 4 || answer[0] != 0x6F || !bytes.HasSuffix(answer, []byte{0x90, 0x00}) {
		r.t.Errorf("SELECT PPSE: %X", answer)
	}
	adf, _ := hex.DecodeString("F05441504B0101")
	r.send(append([]byte{0x00, 0xA4, 0x04, 0x00, byte(len(adf))}, append(adf, 0)...)...)
	if answer := r.receive(); !bytes.Contains(answer, adf) {
		r.t.Errorf("SELECT the card: %X", answer)
	}
	r.send(0)
}

func TestTap(t *testing.T) {
	for _, tc := range []struct{ network, address string }{
		{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "field")},
	} {
		connect := listen(t, tc.network, tc.address, tapOnce)
		code, stdout, stderr := phonesim(t, "--wallet", walletFile(t), "--connect", connect, "--hold", "10s", "--verified")
		want := "phone in the field of " + connect + "\nphone left the field: powered 1 time, answered 2 commands\n"
		if code != exitOK || stdout != want || stderr != "" {
			t.Errorf("%s: exit %d\n%s%s", tc.network, code, stdout, stderr)
		}
	}
}

func TestHoldEndsTheTap(t *testing.T) {
	left := make(chan error, 1)
	connect := listen(t, "tcp", "127.0.0.1:0", func(r byHand) {
		r.send(1)
		_, err := r.conn.Read(make([]byte, 1))
		left <- err
	})
	start := time.Now()
	code, _, stderr := phonesim(t, "--wallet", walletFile(t), "--connect", connect, "--hold", "200ms")
	if took := time.Since(start); code != exitOK || stderr != "" || took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("exit %d after %v: %s", code, took, stderr)
	}
	if err := <-left; err != io.EOF {
		t.Errorf("the reader sees %v, want the end of the connection", err)
	}
}

func TestInterruptEndsTheTap(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	connect := listen(t, "tcp", "127.0.0.1:0", func(r byHand) {
		tapOnce(r)
		interrupt()
		io.Copy(io.Discard, r.conn)
	})
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"--wallet", walletFile(t), "--connect", connect, "--hold", "0"}, &out, &errs); code != exitOK {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestFailures(t *testing.T) {
	wallet := walletFile(t)
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent := listen(t, "tcp", "127.0.0.1:0", func(r byHand) { io.Copy(io.Discard, r.conn) })
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no wallet", nil, exitUsage, "--wallet FILE is required"},
		{"argument", []string{"tap"}, exitUsage, "unknown command"},
		{"flag", []string{"--nope"}, exitUsage, "unknown flag"},
		{"network", []string{"--wallet", wallet, "--connect", "serial:/dev/x"}, exitUsage, "want tcp:HOST:PORT or unix:PATH"},
		{"no port", []string{"--wallet", wallet, "--connect", "tcp:localhost"}, exitUsage, "want tcp:HOST:PORT or unix:PATH"},
		{"no path", []string{"--wallet", wallet, "--connect", "unix:"}, exitUsage, "want tcp:HOST:PORT or unix:PATH"},
		{"hold", []string{"--wallet", wallet, "--hold", "-1s"}, exitUsage, "want 0 or more"},
		{"wallet missing", []string{"--wallet", broken + ".not"}, exitUnexpected, "open wallet file"},
		{"wallet broken", []string{"--wallet", broken}, exitUnexpected, "open wallet file"},
		{"no reader", []string{"--wallet", wallet, "--connect", "unix:" + broken + ".sock"}, exitUnavailable, "no reader at unix:"},
		{"reader wants none", []string{"--wallet", wallet, "--connect", silent, "--hold", "50ms"}, exitUnavailable, "did not power"},
	} {
		code, _, stderr := phonesim(t, tc.args...)
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		if code != tc.code || len(lines) != 2 || !strings.HasPrefix(lines[0], "error: ") || !strings.HasPrefix(lines[1], "hint: ") {
			t.Errorf("%s: exit %d, want %d, and an error with a hint:\n%s", tc.name, code, tc.code, stderr)
			continue
		}
		if !strings.Contains(lines[0], tc.want) {
			t.Errorf("%s: %q does not say %q", tc.name, lines[0], tc.want)
		}
	}
}

// TestPhoneOnPCSCD holds the real program to a real pcscd, which powers each card that it sees.
func TestPhoneOnPCSCD(t *testing.T) {
	p := readertest.VPCD(t)
	code, stdout, stderr := phonesim(t, "--wallet", walletFile(t), "--connect", "tcp:"+p.Address, "--hold", "1500ms")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "powered 1 time") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestPersona(t *testing.T) {
	selects := func(r byHand) []byte {
		r.send(1)
		r.send(selectPPSE...)
		return r.receive()
	}
	connect := listen(t, "tcp", "127.0.0.1:0", func(r byHand) {
		if answer := selects(r); !bytes.Equal(answer, []byte{0x6F, 0x00}) {
			t.Errorf("SELECT PPSE: %X, want 6F00", answer)
		}
	})
	code, _, stderr := phonesim(t, "--wallet", walletFile(t), "--connect", connect, "--hold", "10s", "--persona", "status-ppse-6F00")
	if code != exitOK || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	code, stdout, _ := phonesim(t, "--persona", "list")
	if lines := strings.Count(stdout, "\n"); code != exitOK || lines < 300 || !strings.Contains(stdout, "\nown-money ") {
		t.Errorf("exit %d, %d personas", code, lines)
	}
	for _, bad := range []string{"nobody", "grant-expired", "borrowed-grant"} {
		if code, _, stderr := phonesim(t, "--wallet", walletFile(t), "--connect", connect, "--persona", bad); code != exitUsage {
			t.Errorf("%s: exit %d: %s", bad, code, stderr)
		}
	}
}
