package lanetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// ErrNotRunning: there is no process to end.
var ErrNotRunning = errors.New("the daemon does not run")

// Daemon is a program as a child that can be killed and started again.
type Daemon struct {
	log     string
	command func() *exec.Cmd

	mu      sync.Mutex
	process *Process // nil when it was ended on purpose
}

// Process is one life of the daemon.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Done is closed when the process has ended and its output was read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how it ended, nil for exit status 0; to be read after Done.
func (p *Process) Err() error { return p.err }

// NewDaemon makes a daemon of a fresh command for each start. What the command
// does not take of its output is appended to the file log.
func NewDaemon(log string, command func() *exec.Cmd) *Daemon {
	return &Daemon{log: log, command: command}
}

// Start starts the process. It does not outlive this one, and a terminal's
// Ctrl-C reaches it only through Stop.
func (d *Daemon) Start() (*Process, error) {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := d.command()
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	if cmd.Stderr == nil {
		cmd.Stderr = log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	d.mu.Lock()
	d.process = p
	d.mu.Unlock()
	return p, nil
}

// Process is the running process, if there is one.
func (d *Daemon) Process() (*Process, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process == nil {
		return nil, ErrNotRunning
	}
	return d.process, nil
}

// take is Process, for whoever is about to end it.
func (d *Daemon) take() *Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.process
	d.process = nil
	return p
}

// Kill ends the process as a power cut does, and waits until it is gone.
func (d *Daemon) Kill() error {
	p := d.take()
	if p == nil {
		return ErrNotRunning
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the daemon: %w", err)
	}
	<-p.done
	return nil
}

// Stop asks the process to end, and insists after a while. Stopping what does
// not run is nothing.
func (d *Daemon) Stop() error {
	const wait = 10 * time.Second
	p := d.take()
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("the daemon ended with %w:\n%s", p.err, d.Tail())
		}
		return nil
	case <-time.After(wait):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("the daemon did not stop within %s", wait)
	}
}

// Tail is the end of the daemon's log.
func (d *Daemon) Tail() string {
	const lines = 40
	raw, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
