//go:build cgo && !nopcsc

package pcsc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

// Some tests need a process of their own: to be killed, to be another user, or to have another socket's path.
const childKey = "TAPKEEPER_PCSC_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childKey); what != "" {
		if err := child(what); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(what string) error {
	s, err := New()
	if err != nil {
		return err
	}
	r := s.Reader("")
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	if what == "state" {
		for end := time.Now().Add(5 * time.Second); r.State() == reader.Starting && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		_, err := List(ctx)
		fmt.Printf("%s\n%v\n%v\n", r.State(), Trouble(), err)
		return nil
	}
	start := time.Now()
	for { // a phone that has gone in between is not the one that is waited for
		card, err := r.Await(ctx)
		if err != nil {
			v, _ := s.look()
			return fmt.Errorf("%w (%s, %+v)", err, r.State(), v.slots)
		}
		if _, _, err := card.Transmit(ctx, sel); err == nil {
			break
		}
		_ = card.Release(0)
	}
	fmt.Println("tapped", time.Since(start).Round(time.Millisecond))
	if what == "hold" {
		time.Sleep(time.Minute)
	}
	return nil
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func childCommand(t *testing.T, what string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), childKey+"="+what), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// A customer taps, the daemon is killed in the middle, the phone goes and comes back before pcscd has looked (it does
// every 0.4 s), and the daemon is started again: the phone must be found. pcscd does not tell of it: its polling thread
// has not seen the phone go, and the failed call of the dying connection has marked the slot as empty.
func TestPhoneIsBackBeforeTheKilledDaemonIs(t *testing.T) {
	l := lab(t)
	d := acr122("")
	l.Plug(d)
	field := d.Slot(0)
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for i := range rounds {
		stop := make(chan struct{})
		if i%2 == 1 { // a busy machine
			for range 4 {
				go func() {
					for busy := 0; ; busy++ {
						if busy%1000 == 0 && stopped(stop) {
							return
						}
					}
				}()
			}
		}
		var phone, again readertest.Loop
		_ = field.Present(&phone)
		holder := childCommand(t, "hold")
		out, err := holder.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(line, err)
		}
		field.Remove()
		_ = holder.Process.Kill()
		_ = holder.Wait()
		time.Sleep(time.Duration(i) * 90 * time.Millisecond)
		_ = field.Present(&again)
		line, err := childCommand(t, "tap").Output()
		if err != nil {
			t.Errorf("round %d: the phone was not seen: %v %s", i, err, line)
		}
		t.Logf("round %d: %s", i, strings.TrimSpace(string(line)))
		close(stop)
		field.Remove()
	}
}

// What is wrong with the way to pcscd is said, although pcsc-lite has one code for all of it.
func TestWayToPCSCD(t *testing.T) {
	p := private(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead.comm")
	listener, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Bind(listener, &syscall.SockaddrUnix{Name: dead}), syscall.Close(listener)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, socket string
		nobody       bool
		state        reader.State
		trouble      string
	}{
		{"no socket", filepath.Join(dir, "none.comm"), false, reader.NoService, "there is no " + dir + "/none.comm"},
		{"a dead pcscd's socket", dead, false, reader.NoService, "nobody listens on " + dead},
		{"all is well", p.Socket, false, reader.Ready, "<nil>"},
		{"not permitted", p.Socket, true, reader.Forbidden, "this user may not open " + p.Socket},
	} {
		cmd := childCommand(t, "state", "PCSCLITE_CSOCK_NAME="+tc.socket)
		if tc.nobody {
			if os.Geteuid() != 0 {
				t.Log("not root: cannot be another user")
				continue
			}
			// The test's binary lies where only root may look.
			copied := filepath.Join(dir, "child")
			body, err := os.ReadFile(os.Args[0])
			if err == nil {
				err = os.WriteFile(copied, body, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
			for up := dir; up != "/" && up != os.TempDir(); up = filepath.Dir(up) {
				_ = os.Chmod(up, 0o755)
			}
			if err := os.Chmod(p.Socket, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd.Path, cmd.Dir = copied, "/"
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		}
		out, err := cmd.CombinedOutput()
		lines := strings.Split(string(out), "\n")
		if err != nil || len(lines) < 3 || lines[0] != tc.state.String() || !strings.HasPrefix(lines[1], tc.trouble) {
			t.Errorf("%s: %v\n%s", tc.name, err, out)
			continue
		}
		if listed := lines[2] == "<nil>"; listed != (tc.state == reader.Ready) || !listed && !strings.Contains(lines[2], reader.ErrReaderGone.Error()) {
			t.Errorf("%s: list: %s", tc.name, lines[2])
		}
	}
	if err := Trouble(); err != nil && !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}
