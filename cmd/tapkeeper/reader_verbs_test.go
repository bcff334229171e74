//go:build cgo && !nopcsc

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapkeeper/reader/readertest"
)

// child runs the real program as another process, against a pcscd of the test's own.
func child(t *testing.T, socket string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Args[0] = "tapkeeper"
	cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+socket, "TAPKEEPER_SOCKET="+t.TempDir()+"/none.sock")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), problems.String()
}

func startLab(t *testing.T) *readertest.Lab {
	t.Helper()
	l, err := readertest.StartLab(t.Context(), t.TempDir())
	switch {
	case errors.Is(err, readertest.ErrNoPCSCD) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// The verbs of a technician, at readers whose driver is real to pcscd.
func TestReaderVerbs(t *testing.T) {
	l := startLab(t)
	run := func(args ...string) (int, string, string) {
		return child(t, l.Socket, append([]string{"reader"}, args...)...)
	}

	status, out, problems := run("list")
	if status != exitUnavailable || out != "" || !strings.Contains(problems, "no reader is plugged in") {
		t.Errorf("list of nothing: %d\n%s%s", status, out, problems)
	}
	acr := &readertest.Device{USB: "072f:2200", Escape: func(_ int, in []byte) []byte {
		if bytes.Equal(in, []byte{0xFF, 0x00, 0x48, 0x00, 0x00}) {
			return []byte("ACR122U203")
		}
		return []byte{0x90, 0x00}
	}, Pseudo: func(int, []byte) []byte { return []byte{8, 1, 2, 3, 0x90, 0x00} }}
	serial := &readertest.Device{USB: "04e6:5790", Serial: "55041545"}
	l.Plug(acr)
	l.Plug(serial)
	for end := time.Now().Add(5 * time.Second); strings.Count(out, "\n") < 3 && time.Now().Before(end); {
		status, out, problems = run("list")
	}
	if status != exitOK || problems != "" || !strings.Contains(out, "ACS ACR122U PICC Interface  ") ||
		!strings.Contains(out, "Identiv uTrust 3700 F CL Reader (55041545)  ") || !strings.Contains(out, "KNOWN BAD FIRMWARE: libccid refuses") ||
		!strings.Contains(out, "ifdDriverOptions") {
		t.Errorf("list: %d\n%s%s", status, out, problems)
	}
	status, out, _ = run("list", "--json")
	var readers []knownReader
	if err := json.Unmarshal([]byte(out), &readers); status != exitOK || err != nil || len(readers) != 2 || readers[0].Model != "acr122u" || readers[0].Firmware != "ACR122U203" {
		t.Errorf("list --json: %d %v\n%s", status, err, out)
	}

	status, out, problems = run("identify", "--reader", "ACS ACR122U PICC Interface")
	for _, want := range []string{"profile", "acr122u", "ACR122U203", "KNOWN BAD FIRMWARE", "short APDUs only", "shown: paid, then idle"} {
		if status != exitOK || !strings.Contains(out, want) {
			t.Errorf("identify: %d, want %q in\n%s%s", status, want, out, problems)
		}
	}
	if status, _, problems = run("identify"); status != exitUsage || !strings.Contains(problems, "2 readers are plugged in") {
		t.Errorf("identify one of two: %d %s", status, problems)
	}
	if status, _, problems = run("test", "--reader", "ACS ACR122U PICC Interface", "--wait", "300ms"); status != exitTryAgain || !strings.Contains(problems, "no card within 300ms") {
		t.Errorf("test without a card: %d %s", status, problems)
	}

	var phone readertest.Loop
	_ = acr.Slot(0).Present(&phone)
	status, out, problems = run("test", "--reader", "ACS ACR122U PICC Interface")
	for _, want := range []string{"acr122u, firmware ACR122U203", "KNOWN BAD FIRMWARE", "5 taps, 0 failed", "phone seen to first command", "the reader's own overhead", "command to answer, 5 in all", "relay_offset_us for this make: at most "} {
		if status != exitOK || !strings.Contains(out, want) {
			t.Errorf("test: %d, want %q in\n%s%s", status, want, out, problems)
		}
	}
	if strings.Contains(out, "080102") {
		t.Error("the UID is shown")
	}
	acr.Slot(0).FailAt(1, readertest.Garbled)
	status, out, problems = run("stress", "--reader", "ACS ACR122U PICC Interface", "--taps", "20", "--json")
	var got stressed
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != exitTryAgain || got.Taps != 20 || got.Failed != 1 || got.Errors["phone has left the field"] != 1 || got.Tap.Count != 20 {
		t.Errorf("stress: %d %v %+v\n%s", status, err, got, problems)
	}
	t.Logf("stress: tap p50 %v, exchange p50 %v", got.Tap.P50, got.Exchange.P50)

	watching := make(chan string, 1)
	go func() {
		_, out, _ := run("watch", "--for", "3s")
		watching <- out
	}()
	time.Sleep(1200 * time.Millisecond)
	acr.Slot(0).Remove()
	time.Sleep(700 * time.Millisecond)
	l.Unplug(serial)
	out = <-watching
	for _, want := range []string{"ACS ACR122U PICC Interface 00 00: card\n", "ACS ACR122U PICC Interface 00 00: empty\n", "(55041545) 01 00: unplugged\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("watch: want %q in\n%s", want, out)
		}
	}
}

// Another program, and a frozen pcscd, are named.
func TestReaderVerbsSayWhoHoldsIt(t *testing.T) {
	l := startLab(t)
	acr := &readertest.Device{USB: "072f:2200"}
	l.Plug(acr)
	var slow readertest.Loop
	slow.Reply = func(n int, _ []byte) []byte {
		if n > 1 {
			time.Sleep(20 * time.Millisecond)
		}
		return []byte{0x6A, 0x82}
	}
	_ = acr.Slot(0).Present(&slow)
	holder := exec.Command(os.Args[0], "reader", "stress", "--taps", "100000")
	holder.Args[0] = "tapkeeper"
	holder.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+l.Socket, "TAPKEEPER_SOCKET="+t.TempDir()+"/none.sock")
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// It keeps its card while it is frozen in the middle of a tap.
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	for end := time.Now().Add(5 * time.Second); slow.Activations() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	// Whether it is caught with the card in its hand is a matter of chance: it is let go and caught again.
	var status int
	var out, problems string
	for range 10 {
		for range 500 {
			if slow.Powered() && len(slow.Seen()) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		_ = holder.Process.Signal(syscall.SIGSTOP)
		if status, out, problems = child(t, l.Socket, "reader", "test", "--wait", "10s"); status == exitTryAgain {
			break
		}
		_ = holder.Process.Signal(syscall.SIGCONT)
	}
	if status != exitTryAgain || out != "" || !strings.Contains(problems, "reader held by another program") || !strings.Contains(problems, "programs that use PC/SC now: ") {
		t.Errorf("held: %d\n%s%s", status, out, problems)
	}
	_ = l.Signal(syscall.SIGSTOP)
	status, _, problems = child(t, l.Socket, "reader", "list")
	if status != exitUnavailable || !strings.Contains(problems, "pcscd does not answer") {
		t.Errorf("frozen: %d\n%s", status, problems)
	}
	_ = l.Signal(syscall.SIGCONT)
}
