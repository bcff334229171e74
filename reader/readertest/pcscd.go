package readertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrNoPCSCD: this machine cannot run or reach a pcscd with the virtual reader; the text says what is missing.
var ErrNoPCSCD = errors.New("no pcscd with a virtual reader")

// PCSCD is a pcscd whose one device is Debian's virtual reader (vpcd): what connects to Address is a phone in its
// first slot. Programs find it by the environment of Env, and the machine's own pcscd and readers are not touched.
//
// libpcsclite remembers the socket's path for the life of a process. So a process that talks to a PCSCD itself sets
// Env before its first PC/SC call, and a pcscd that is started anew has to be started in the same folder.
type PCSCD struct {
	Socket  string // the socket of pcscd
	Address string // host:port of slot 0; slot 1 is the next port
	Reader  string // the PC/SC name of slot 0

	cmd     *exec.Cmd
	dir     string
	private bool
	exited  chan struct{}
	drivers string   // the folder that pcscd finds as its folder of USB drivers; "" for an empty one
	env     []string // more of its environment
}

const (
	// startTimeout is how long a pcscd may take until its driver listens; 0.1 s is usual.
	startTimeout = 10 * time.Second
	// stopTimeout is how long it may take to end before it is killed.
	stopTimeout = 3 * time.Second
	// maxSocketPath is sun_path without its final zero.
	maxSocketPath = 107
)

// Env is what makes libpcsclite in another process talk to this pcscd, in the form of os/exec.Cmd.Env.
func (p *PCSCD) Env() []string {
	if !p.private {
		return nil
	}
	return []string{"PCSCLITE_CSOCK_NAME=" + p.Socket}
}

// StartPCSCD starts a pcscd with its files in dir, which is made if need be. It needs the packages pcscd and
// vsmartcard-vpcd, and root or a kernel that gives user namespaces to everybody: pcscd's socket has one compiled-in
// path, so it gets a mount namespace in which that path is a folder of dir. The driver listens on all addresses of the
// machine, on a free port of the moment; what connects there is a phone and can do what a phone can do.
//
// The error wraps ErrNoPCSCD when something is missing. ctx bounds the start alone; Close ends the pcscd, which also
// does not outlive this process.
func StartPCSCD(ctx context.Context, dir string) (*PCSCD, error) {
	p, err := startPCSCD(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("start private pcscd: %w", err)
	}
	return p, nil
}

// place is the folder of a pcscd, made if need be, and its socket.
func place(dir string) (abs, socket string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	socket = filepath.Join(dir, "run", "pcscd.comm")
	if len(socket) > maxSocketPath || strings.HasPrefix(dir, "/run/") {
		return "", "", fmt.Errorf("%s: the folder's path is too long or below /run", dir)
	}
	for _, sub := range []string{"run", "conf"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return "", "", err
		}
	}
	return dir, socket, nil
}

func startPCSCD(ctx context.Context, dir string) (*PCSCD, error) {
	dir, socket, err := place(dir)
	if err != nil {
		return nil, err
	}
	daemon, driver, err := installed()
	if err != nil {
		return nil, err
	}
	port, err := freePair()
	if err != nil {
		return nil, err
	}
	if err := writeFiles(dir, driver, port); err != nil {
		return nil, err
	}
	p := &PCSCD{
		Socket: socket, Address: fmt.Sprintf("127.0.0.1:%d", port), Reader: "Virtual PCD 00 00",
		dir: dir, private: true, exited: make(chan struct{}),
	}
	if err := p.run(daemon); err != nil {
		return nil, err
	}
	if err := p.ready(ctx, port); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// SystemPCSCD is the machine's own pcscd, if it runs and its virtual reader listens where Debian has it.
func SystemPCSCD() (*PCSCD, error) {
	const socket, port = "/run/pcscd/pcscd.comm", 35963
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoPCSCD, err)
	}
	conn.Close()
	if !listening(port) {
		return nil, fmt.Errorf("%w: nothing listens on port %d", ErrNoPCSCD, port)
	}
	return &PCSCD{Socket: socket, Address: fmt.Sprintf("127.0.0.1:%d", port), Reader: "Virtual PCD 00 00"}, nil
}

// program finds pcscd, also for a user whose PATH has no sbin.
func program() (string, error) {
	daemon, err := exec.LookPath("pcscd")
	if err != nil {
		daemon = "/usr/sbin/pcscd"
	}
	if _, err := os.Stat(daemon); err != nil {
		return "", fmt.Errorf("%w: package pcscd is not installed", ErrNoPCSCD)
	}
	return daemon, nil
}

// installed finds pcscd and the driver of the virtual reader.
func installed() (daemon, driver string, err error) {
	if daemon, err = program(); err != nil {
		return "", "", err
	}
	for _, pattern := range []string{"/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "/usr/lib/*/pcsc/drivers/serial/libifdvpcd.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return daemon, found[0], nil
		}
	}
	return "", "", fmt.Errorf("%w: package vsmartcard-vpcd is not installed", ErrNoPCSCD)
}

// freePair finds a port that is free together with the next one, which the driver takes for its second slot.
func freePair() (int, error) {
	const tries = 50
	for range tries {
		first, err := net.Listen("tcp", ":0")
		if err != nil {
			return 0, err
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf(":%d", port+1))
		first.Close()
		if err == nil {
			second.Close()
			return port, nil
		}
	}
	return 0, errors.New("no two free ports side by side")
}

// writeFiles puts what pcscd reads into dir. The driver is copied because the script hides the folder of drivers: a
// pcscd that sees the drivers for USB takes the machine's readers away from the machine's own pcscd.
func writeFiles(dir, driver string, port int) error {
	lib, err := os.ReadFile(driver)
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, "libifdvpcd.so")
	conf := fmt.Sprintf("FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:0x%04X\nLIBPATH %s\nCHANNELID 0x%04X\n", port, copied, port)
	return errors.Join(
		os.WriteFile(copied, lib, 0o755),
		os.WriteFile(filepath.Join(dir, "conf", "vpcd"), []byte(conf), 0o644),
	)
}

// script runs inside the mount namespace, in the folder that becomes /run/pcscd. Newer versions of pcscd ask polkit
// who may use a reader, and there is no polkit in here.
const script = `set -e
mount --make-rprivate /
mount -t tmpfs none /run
mkdir /run/pcscd
mount --bind . /run/pcscd
for d in /usr/lib/pcsc/drivers /usr/lib/*/pcsc/drivers; do
	if [ ! -d "$d" ]; then continue; fi
	if [ -n "$DRIVERS" ]; then mount --bind "$DRIVERS" "$d"; else mount -t tmpfs none "$d"; fi
done
cd /
if [ -n "$SHIM" ]; then export LD_PRELOAD="$SHIM"; fi
case "$("$1" --help)" in *disable-polkit*) set -- "$@" --disable-polkit;; esac
exec "$@"
`

func (p *PCSCD) run(daemon string) error {
	log, err := os.Create(filepath.Join(p.dir, "pcscd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command("/bin/sh", "-c", script, "pcscd", daemon, "--foreground", "--info", "--config", filepath.Join(p.dir, "conf"))
	p.cmd.Dir = filepath.Dir(p.Socket)
	// Nothing of our own environment: it may have LISTEN_FDS of a service that started us.
	p.cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DRIVERS=" + p.drivers}, p.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = namespaces()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoPCSCD, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	return nil
}

func (p *PCSCD) ready(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("unix", p.Socket); err == nil {
			conn.Close()
			if port == 0 || listening(port) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("%w: it ended at once: %s", ErrNoPCSCD, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %s", ctx.Err(), p.lastWords())
		}
	}
}

// lastWords is the last line of the log.
func (p *PCSCD) lastWords() string {
	log, _ := os.ReadFile(filepath.Join(p.dir, "pcscd.log"))
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(lines[len(lines)-1])
}

// listening looks into the kernel's table: to connect would be to present a phone, and to bind would be in the way.
func listening(port int) bool {
	want := fmt.Sprintf(":%04X 00000000:0000 0A", port)
	table, err := os.ReadFile("/proc/net/tcp")
	return err == nil && strings.Contains(string(table), want)
}

// Signal sends a signal to a private pcscd: SIGSTOP and SIGCONT freeze it, SIGKILL is its crash.
func (p *PCSCD) Signal(s syscall.Signal) error {
	if !p.private {
		return errors.New("signal pcscd: it is the machine's own")
	}
	return p.cmd.Process.Signal(s)
}

// Close ends a private pcscd and leaves its folder to the caller.
func (p *PCSCD) Close() error {
	if !p.private {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return nil
}
