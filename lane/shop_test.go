package lane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/uplink/wire/wiretest"
)

// patience bounds every wait of these tests; far above what is usual, for CI.
const patience = 20 * time.Second

// errDied: the daemon has killed itself.
var errDied = errors.New("the daemon is dead")

// shop is a store whose daemon is a child of this test that kills itself.
type shop struct {
	t *testing.T
	*lanetest.Store
	daemon *lanetest.Daemon

	life  *lanetest.Process
	stdin io.WriteCloser
	heard *lines // of this life

	phoneAnswered atomic.Bool // GENERATE AC, since it was last reset

	// The books as the test keeps them.
	paid     int64
	payments map[terminal.ID]bool
}

// lines takes the child's output apart as it comes.
type lines struct {
	mu      sync.Mutex
	rest    []byte
	dying   string
	told    []terminal.Payment
	refused []refusal
	bad     []string
	answers chan answer // the test waits for each before it asks again
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		raw, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		var said line
		if err := json.Unmarshal(raw, &said); err != nil {
			l.bad = append(l.bad, string(raw))
		}
		l.rest = rest
		switch {
		case said.Dying != "":
			l.dying = said.Dying
		case said.Told != nil:
			l.told = append(l.told, *said.Told)
		case said.Refused != nil:
			l.refused = append(l.refused, *said.Refused)
		case said.Answer != nil:
			l.answers <- *said.Answer
		}
	}
}

// toldOf is what the till was told about an order in this life.
func (l *lines) toldOf(order string) []terminal.Payment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []terminal.Payment
	for _, p := range l.told {
		if p.OrderRef == order {
			out = append(out, p)
		}
	}
	return out
}

func (l *lines) last(order string) (terminal.Payment, bool) {
	told := l.toldOf(order)
	if len(told) == 0 {
		return terminal.Payment{}, false
	}
	return told[len(told)-1], true
}

func (l *lines) refusal(order string) (refusal, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.refused {
		if r.Order == order {
			return r, true
		}
	}
	return refusal{}, false
}

var (
	rich = lanetest.Person{ID: "rich", Name: "Rich", BalanceMinor: 1_000_000_00, Digits: [2]byte{0x11, 0x11}}
	poor = lanetest.Person{ID: "poor", Name: "Poor", BalanceMinor: 30_00, Digits: [2]byte{0x22, 0x22}}
)

// newShop opens a store and starts its daemon.
func newShop(t *testing.T) *shop {
	t.Helper()
	// Not t.TempDir: its path can be too long for a socket.
	dir, err := os.MkdirTemp("", "lane-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	store, err := lanetest.Open(context.Background(), lanetest.Options{
		Dir: dir, People: []lanetest.Person{rich, poor},
		Limits: lanetest.Limits{SumMinor: 1_000_000_00, DeviceMinor: 1_000_000_00},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Watch(wiretest.Watch(t)); err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, Store: store, payments: map[terminal.ID]bool{}}
	t.Cleanup(func() {
		if s.daemon != nil {
			_ = s.daemon.Kill() // dead already, when the test ended early
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start starts the daemon, to kill itself at a point if one is named, and waits
// until it is ready. errDied: it was killed before.
func (s *shop) start(kill string) error {
	s.t.Helper()
	cfg := s.Config()
	cfg.Wallet.AnswerMS = 10_000 // a busy machine is not a wallet that does not answer
	config, err := json.Marshal(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.heard = &lines{answers: make(chan answer, 1)}
	heard := s.heard
	s.daemon = lanetest.NewDaemon(s.Path("daemon.log"), func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "LANE_CONFIG="+string(config), "LANE_KILL="+kill)
		cmd.Stdout = heard
		if s.stdin, err = cmd.StdinPipe(); err != nil {
			s.t.Fatal(err)
		}
		return cmd
	})
	if s.life, err = s.daemon.Start(); err != nil {
		s.t.Fatal(err)
	}
	_, err = s.answer()
	return err
}

// stop ends the daemon in good order.
func (s *shop) stop() {
	s.t.Helper()
	if err := s.daemon.Stop(); err != nil {
		s.t.Fatal(err)
	}
}

// ask sends a command and waits for its answer; errDied when the daemon kills itself.
func (s *shop) ask(format string, args ...any) (answer, error) {
	s.t.Helper()
	s.tell(format, args...)
	return s.answer()
}

func (s *shop) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(s.stdin, format+"\n", args...) // a dead child is seen by its answer
}

func (s *shop) answer() (answer, error) {
	s.t.Helper()
	select {
	case a := <-s.heard.answers:
		if a.Problem != "" {
			s.t.Fatalf("the daemon: %s", a.Problem)
		}
		return a, nil
	case <-s.life.Done():
		s.wantKilled()
		return answer{}, errDied
	case <-time.After(patience):
		s.t.Fatalf("no answer in %s; the daemon's log ends:\n%s", patience, s.daemon.Tail())
		return answer{}, nil
	}
}

// must is ask of a daemon that does not kill itself now.
func (s *shop) must(format string, args ...any) answer {
	s.t.Helper()
	a, err := s.ask(format, args...)
	if err != nil {
		s.t.Fatalf(format+": %v; its log ends:\n%s", append(args, err, s.daemon.Tail())...)
	}
	return a
}

// wantKilled fails the test when the daemon ended in another way than by its point.
func (s *shop) wantKilled() {
	s.t.Helper()
	var exit *exec.ExitError
	killed := errors.As(s.life.Err(), &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if !killed || s.heard.dying == "" {
		s.t.Fatalf("the daemon ended by itself (%v); its log ends:\n%s", s.life.Err(), s.daemon.Tail())
	}
}

// until waits for the daemon's status. errDied: it has killed itself.
func (s *shop) until(what string, ok func(answer) bool) (answer, error) {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		a, err := s.ask("status")
		if err != nil || ok(a) {
			return a, err
		}
	}
	a, err := s.ask("status")
	s.t.Fatalf("waited %s until %s: %+v, %v; the daemon's log ends:\n%s", patience, what, a, err, s.daemon.Tail())
	return a, err
}

// network plugs the cable in or pulls it out.
func (s *shop) network(on bool) {
	s.t.Helper()
	if err := s.Network.Refuse(!on); err != nil {
		s.t.Fatal(err)
	}
}

// tap holds a phone to the reader for as long as the daemon lives or until
// s.Field.Remove.
func (s *shop) tap(who lanetest.Person) {
	s.t.Helper()
	s.phoneAnswered.Store(false)
	phone := s.Phones[who.ID].Watched(func() (leave bool) { s.phoneAnswered.Store(true); return false })
	if err := s.Field.Present(phone); err != nil {
		s.t.Fatal(err)
	}
}

// away takes the phone away and lets it finish.
func (s *shop) away() {
	s.Field.Remove()
	s.Field.Wait()
}

func describe(p []terminal.Payment) string {
	var b strings.Builder
	for _, p := range p {
		fmt.Fprintf(&b, "\n    %s rev %d %s, %s, reason %02X: %q", p.ID, p.Revision, p.State, p.Settlement, byte(p.Reason), p.End())
	}
	return b.String()
}
