package uplinktest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// TB is what real brokers need of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	TempDir() string
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// startTime bounds the start of a broker: three NATS servers under the race
// detector on a busy machine take their time.
const startTime = 60 * time.Second

// Child is a broker as a process of its own, which a test kills and freezes.
// Command makes it anew for each start, Ready says when it serves.
type Child struct {
	Command func() *exec.Cmd
	Ready   func() error

	mu    sync.Mutex
	cmd   *exec.Cmd
	dead  chan struct{}
	out   *output
	stdin io.Closer
}

// Start runs the command and returns at once; Await waits.
func (c *Child) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		return errors.New("it runs already")
	}
	cmd := c.Command()
	c.out = &output{}
	cmd.Stdout, cmd.Stderr = c.out, c.out
	stdin, err := cmd.StdinPipe() // its end tells a child that the test died
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	dead := make(chan struct{})
	c.cmd, c.dead, c.stdin = cmd, dead, stdin
	go func() {
		_ = cmd.Wait() // killed is how it ends
		close(dead)
	}()
	return nil
}

// Await waits until the child serves. Its output is in the error when it does not.
func (c *Child) Await() error {
	c.mu.Lock()
	dead, out := c.dead, c.out
	c.mu.Unlock()
	var last error
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-dead:
			return fmt.Errorf("it ended at once:\n%s", out)
		default:
		}
		if last = c.Ready(); last == nil {
			return nil
		}
	}
	return fmt.Errorf("it does not serve after %v: %w\n%s", startTime, last, out)
}

// Kill ends the process at once (SIGKILL), as a crash does; frozen ones too.
func (c *Child) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill() // already gone is as good
	<-c.dead
	c.stdin.Close()
	c.cmd = nil
}

// Freeze stops the process (SIGSTOP): its connections stay open and silent.
func (c *Child) Freeze() { c.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (c *Child) Thaw() { c.signal(syscall.SIGCONT) }

func (c *Child) signal(s os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(s) // a process that is gone needs none
	}
}

// CPU is the processor time that the running child has used, 0 where the system
// does not tell.
func (c *Child) CPU() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(raw, []byte(") ")) // the name before may hold spaces
	fields := bytes.Fields(after)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // proc(5): USER_HZ is 100
}

// Output is what the child said since its last start.
func (c *Child) Output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// output collects what a child writes, the last maxOutput bytes of it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// maxOutput bounds a child's lines kept for a failure.
const maxOutput = 64 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > maxOutput {
		o.buf.Next(o.buf.Len() / 2)
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// FreePort finds a loopback port that nobody listens on now.
func FreePort(t TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// BrokerFile reads one of the examples under docs/brokers, from any package's
// folder: what the guide shows is what the tests run.
func BrokerFile(t TB, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find docs/brokers: %v", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if isFile(filepath.Join(dir, "go.mod")) {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("find docs/brokers: no go.mod above the working folder")
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "docs", "brokers", name))
	if err != nil {
		t.Fatalf("broker example: %v", err)
	}
	return raw
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// listens is a Ready that connects.
func listens(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err
}
