package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapkeeper/reader/readertest"
)

// limit of one run; usual is one second.
const limit = 60 * time.Second

// workshop is where the programs are built; TestMain makes and removes it.
var workshop string

// built are the programs as `make demo` builds them, once for all tests;
// builtC is with the PC/SC reader.
var (
	built  = sync.OnceValues(func() (string, error) { return build("0") })
	builtC = sync.OnceValues(func() (string, error) { return build("1") })
)

func build(cgo string) (dir string, err error) {
	dir = filepath.Join(workshop, "cgo"+cgo) + string(filepath.Separator)
	cmd := exec.Command("go", "build", "-o", dir, "tapkeeper/cmd/tapkeeper", "tapkeeper/cmd/tapdemo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return dir, nil
}

func TestMain(m *testing.M) {
	var err error
	if workshop, err = os.MkdirTemp("", "tapdemo-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(workshop)
	os.Exit(code)
}

// demo is one run of the program, with a folder for its temporary files that
// must be empty afterwards.
type demo struct {
	t    *testing.T
	cmd  *exec.Cmd
	tmp  string
	errs bytes.Buffer
}

func newDemo(ctx context.Context, t *testing.T, dir string, args ...string) *demo {
	t.Helper()
	// Not t.TempDir: its path can be too long for a socket.
	tmp, err := os.MkdirTemp("", "demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	d := &demo{t: t, tmp: tmp}
	d.cmd = exec.CommandContext(ctx, filepath.Join(dir, "tapdemo"), args...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	d.cmd.Stderr = &d.errs
	return d
}

// clean fails when anything is left of a run: files, or processes that work on them.
func (d *demo) clean() {
	d.t.Helper()
	if left, err := os.ReadDir(d.tmp); err != nil || len(left) > 0 {
		d.t.Errorf("left behind: %v, %v", left, err)
	}
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range found {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(d.tmp)) {
			d.t.Errorf("still running: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}

// finished runs the program to its good end.
func finished(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	d := newDemo(ctx, t, dir, args...)
	out, err := d.cmd.Output()
	if err != nil || d.errs.Len() > 0 {
		t.Fatalf("tapdemo %q: %v\n%s\nstderr: %s", args, err, out, d.errs.String())
	}
	d.clean()
	return string(out)
}

func programs(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// theStory are lines that it must not lack, in their order.
var theStory = []string{
	`tea-1 +¥25\.00 .*支付成功 / Approved +\d+`,
	`tea-2 +¥320\.00 .*支付成功 / Approved +\d+`,
	`tea-3 +¥260\.00 .*未通过 / Not approved`,
	`02: 余额不足 / Insufficient balance \(wallet\)`,
	`tea-5 +¥36\.50 .*Approved offline, not yet settled`,
	`26: 超出终端离线限额 / Over the terminal's offline limit`,
	`tea-7 .*daemon killed \(kill -9\)`,
	`tea-7 .*daemon restarted .*Failed, not paid; a reversal is on its way`,
	`tea-7 .*Reversal confirmed, nothing was taken`,
	`terminal +5 payments, ¥412\.00, hash ([0-9a-f]{16})`,
	`tea-7 +¥5\.00 +failed +reversed +NOT PAID +tombstone +¥5\.00 +agree`,
	`tea-8 +¥12\.50 +approved +settled +PAID +taken +¥12\.50 +agree`,
	`customers spent ¥412\.00, the merchant is owed ¥412\.00, the journal says PAID ¥412\.00`,
	`\$ tapkeeper show [0-9a-f-]{36} --trace`,
	`tapdemo -serve`,
}

func wantStory(t *testing.T, out string) {
	t.Helper()
	rest := out
	for _, line := range theStory {
		at := regexp.MustCompile(line).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no line like %q where it should be in\n%s", line, out)
		}
		rest = rest[at[1]:]
	}
	if strings.Contains(out, "DIFFER") {
		t.Errorf("the books differ, and the exit status is 0:\n%s", out)
	}
}

func TestStory(t *testing.T) {
	out := finished(t, programs(t))
	wantStory(t, out)
	if !strings.Contains(out, "virtual reader") {
		t.Errorf("which reader was it?\n%s", out)
	}
}

// The same story through a serial reader, on a real pty.
func TestStoryOnPN532(t *testing.T) {
	out := finished(t, programs(t), "-reader", "pn532")
	wantStory(t, out)
	if !strings.Contains(out, "PN532 in software on a real pty") {
		t.Errorf("which reader was it?\n%s", out)
	}
}

// The story of a card terminal: paid, declined, cut after 04 0F, asked by 06 20, refunded, and its day.
func TestStoryOfCards(t *testing.T) {
	out := finished(t, programs(t), "-reader", "zvt")
	for _, want := range []string{
		`tea-1 .*Approved`, `tea-2 .*Not approved`, `tea-3 .*Failed, not paid`, `tea-4 .*Approved`, `tea-5 .*daemon restarted.*Approved`,
		`tea-4 .*refunded`, `journal +4 bookings, ¥18\.00`, `card terminal +4 bookings, ¥18\.00`, `tea-4 .*REFUNDED .*receipt 0003 reversed +agree`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no line like %q in\n%s", want, out)
		}
	}
}

// The same story through a real pcscd. Where there is none, or no C compiler,
// it fails under CI and is skipped elsewhere.
func TestStoryOnPCSCD(t *testing.T) {
	readertest.VPCD(t)
	dir, err := builtC()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the PC/SC reader does not build here: ", err)
	}
	out := finished(t, dir, "-reader", "pcsc")
	wantStory(t, out)
	if !strings.Contains(out, "of a real pcscd") {
		t.Errorf("which reader was it?\n%s", out)
	}
}

func TestRate(t *testing.T) {
	out := finished(t, programs(t), "-taps", "50")
	if !regexp.MustCompile(`^50 taps, .*: \d+\.\d taps/s, p50 \S+s, p99 \S+s\n$`).MatchString(out) {
		t.Errorf("no rate in %q", out)
	}
}

func TestNoDaemon(t *testing.T) {
	err := run(context.Background(), []string{"-daemon", "/nonexistent"}, strings.NewReader(""), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v, want what to type", err)
	}
}

// A signal ends the program at any point of the story within a moment, and
// nothing is left: no daemon, no folder.
func TestSignal(t *testing.T) {
	dir := programs(t)
	for _, c := range []struct {
		name, at string
		signal   syscall.Signal
		args     []string
	}{
		{"at once", "", syscall.SIGTERM, nil},
		{"first tap", "1. ", syscall.SIGINT, nil},
		{"online", "2. ", syscall.SIGTERM, nil},
		{"network off", "4. ", syscall.SIGTERM, nil},
		{"daemon killed", "6. ", syscall.SIGTERM, nil},
		{"draining", "7. ", syscall.SIGINT, nil},
		{"books", "9. ", syscall.SIGTERM, nil},
		{"serving", "The store is open", syscall.SIGTERM, []string{"-serve"}},
		{"measuring", "", syscall.SIGTERM, []string{"-taps", "100000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			d := newDemo(ctx, t, dir, c.args...)
			out, err := d.cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := d.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for c.at != "" && lines.Scan() && !strings.HasPrefix(lines.Text(), c.at) {
			}
			if c.at == "" {
				time.Sleep(300 * time.Millisecond) // the program runs, and says nothing yet or no more
			}
			began := time.Now()
			if err := d.cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out)
			_ = d.cmd.Wait()
			// 0: it was through before the signal came.
			if code := d.cmd.ProcessState.ExitCode(); code != 0 && code != 130 || code == 130 && d.errs.String() != "stopped; the store is closed\n" {
				t.Errorf("exit status %d, %q", code, d.errs.String())
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s to stop", took)
			}
			d.clean()
		})
	}
}
