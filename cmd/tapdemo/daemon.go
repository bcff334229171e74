package main

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

// daemon is the real tapkeeper as a child process.
type daemon struct {
	binary, config, log string
	env                 []string

	mu      sync.Mutex
	process *process // nil when it was ended on purpose
}

// process is one life of the daemon.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; to be read after done
}

func newDaemon(binary, config, log string, env []string) *daemon {
	return &daemon{binary: binary, config: config, log: log, env: env}
}

func (d *daemon) start() error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := exec.Command(d.binary, "serve", "--config", d.config)
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	d.mu.Lock()
	d.process = p
	d.mu.Unlock()
	return nil
}

// current is the running process, if there is one.
func (d *daemon) current() *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.process
}

// take is current, for whoever is about to end it.
func (d *daemon) take() *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.process
	d.process = nil
	return p
}

// kill ends the process as a power cut does, and waits until it is gone.
func (d *daemon) kill() error {
	p := d.take()
	if p == nil {
		return errors.New("the daemon does not run")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the daemon: %w", err)
	}
	<-p.done
	return nil
}

// stop asks the process to end, and insists after a while.
func (d *daemon) stop() error {
	const wait = 10 * time.Second
	p := d.take()
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("the daemon ended with %w:\n%s", p.err, d.tail())
		}
		return nil
	case <-time.After(wait):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("the daemon did not stop within %s", wait)
	}
}

// tail is the end of the daemon's log.
func (d *daemon) tail() string {
	const lines = 8
	raw, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
