package uplinktest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// TB is what Mosquitto needs of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	TempDir() string
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Process is a mosquitto of its own, with no persistence, on a loopback port.
type Process struct {
	t      TB
	addr   string
	config string

	mu   sync.Mutex
	cmd  *exec.Cmd
	dead chan struct{}
	out  *bytes.Buffer
}

// Mosquitto starts a real broker with extra configuration lines, or skips the
// test when there is none. Under CI=true a missing broker fails.
func Mosquitto(t TB, lines ...string) *Process {
	t.Helper()
	bin, err := findMosquitto()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mosquitto: %v (CI needs the real broker)", err)
		}
		t.Skipf("mosquitto: %v", err)
	}
	dir := t.TempDir()
	p := &Process{t: t, addr: freePort(t), config: filepath.Join(dir, "mosquitto.conf")}
	_, port, _ := net.SplitHostPort(p.addr)
	config := fmt.Sprintf("listener %s 127.0.0.1\npersistence false\nset_tcp_nodelay true\n", port)
	if os.Geteuid() == 0 {
		config += "user root\n" // else it changes to a user who cannot read the test's files
	}
	if len(lines) == 0 {
		lines = []string{"allow_anonymous true"}
	}
	for _, l := range lines {
		config += l + "\n"
	}
	if err := os.WriteFile(p.config, []byte(config), 0o644); err != nil {
		t.Fatalf("mosquitto: %v", err)
	}
	p.start(bin)
	t.Cleanup(p.Kill)
	return p
}

// URL is the broker's address for uplink.Config.
func (p *Process) URL() string { return "mqtt://" + p.addr }

// Addr is host and port.
func (p *Process) Addr() string { return p.addr }

// Kill ends the process at once (SIGKILL), as a crash does.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // already gone is as good
	<-p.dead
	p.cmd = nil
}

// Restart starts it again after Kill, on the same port and with nothing kept.
func (p *Process) Restart() {
	bin, err := findMosquitto()
	if err != nil {
		p.t.Fatalf("mosquitto: %v", err)
	}
	p.start(bin)
}

// start runs the binary and waits until the port answers.
func (p *Process) start(bin string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = &bytes.Buffer{}
	p.cmd = exec.Command(bin, "-c", p.config)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("mosquitto: %v", err)
	}
	dead := make(chan struct{})
	p.dead = dead
	cmd := p.cmd
	go func() {
		_ = cmd.Wait() // killed is how it ends
		close(dead)
	}()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-dead:
			p.t.Fatalf("mosquitto ended at once:\n%s", p.out)
		default:
		}
		if c, err := net.Dial("tcp", p.addr); err == nil {
			c.Close()
			return
		}
	}
	p.t.Fatalf("mosquitto does not listen after 10 s")
}

func findMosquitto() (string, error) {
	if bin, err := exec.LookPath("mosquitto"); err == nil {
		return bin, nil
	}
	// Debian keeps it where users have no path.
	if bin := "/usr/sbin/mosquitto"; isFile(bin) {
		return bin, nil
	}
	return "", fmt.Errorf("no mosquitto in PATH or /usr/sbin")
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

func freePort(t TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
