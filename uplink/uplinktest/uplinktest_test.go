package uplinktest

import (
	"bytes"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"
)

// cmd/tapdemo is built with this package: no test framework may come along.
func TestNoTestingInside(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		seen++
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "testing") {
				t.Errorf("%s imports %s", file, i.Path.Value)
			}
		}
	}
	if seen == 0 {
		t.Fatal("no files")
	}
}

func connect(t *testing.T, url string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetProtocolVersion(4).SetAutoReconnect(false).SetClientID("c"))
	if tok := c.Connect(); !tok.WaitTimeout(3*time.Second) || tok.Error() != nil {
		t.Fatalf("connect: %v", tok.Error())
	}
	return c
}

func TestBrokerServesOverARestart(t *testing.T) {
	defer goleak.VerifyNone(t)
	b, err := NewBroker(Options{Permit: func(_, topic string, write bool) bool { return !write || topic != "up/forbidden" }})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	var mu sync.Mutex
	var got []string
	if err := b.Serve("up/+", func(topic string, payload []byte) []Publication {
		mu.Lock()
		got = append(got, topic)
		mu.Unlock()
		return []Publication{{"down/x", bytes.ToUpper(payload)}}
	}); err != nil {
		t.Fatal(err)
	}
	addr := b.Addr()
	for range 2 {
		answers := make(chan string, 10)
		c := connect(t, "tcp://"+addr)
		if tok := c.Subscribe("down/+", 1, func(_ mqtt.Client, m mqtt.Message) { answers <- string(m.Payload()) }); !tok.WaitTimeout(time.Second) {
			t.Fatal("no SUBACK")
		}
		c.Publish("up/a", 1, false, "hello").WaitTimeout(time.Second)
		select {
		case a := <-answers:
			if a != "HELLO" {
				t.Errorf("answer %q", a)
			}
		case <-time.After(3 * time.Second):
			t.Fatal("no answer")
		}
		// The broker ends the connection of a client that may not write there.
		c.Publish("up/forbidden", 1, false, "no").WaitTimeout(200 * time.Millisecond)
		c.Disconnect(100)
		b.Stop()
		if err := b.Publish(Publication{"down/x", nil}); err == nil {
			t.Error("a stopped broker publishes")
		}
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		if b.Addr() != addr {
			t.Fatalf("port changed from %s to %s", addr, b.Addr())
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 2 || got[0] != "up/a" {
		t.Errorf("served %v", got)
	}
}

func TestRelayFaults(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	r, err := NewRelay(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	echo := func(c net.Conn, within time.Duration) error {
		c.SetDeadline(time.Now().Add(within))
		if _, err := c.Write([]byte("ping")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 4))
		return err
	}
	c := dial()
	if err := echo(c, time.Second); err != nil {
		t.Fatalf("through: %v", err)
	}
	r.Cut()
	if err := echo(c, time.Second); err == nil || errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("after a cut: %v", err)
	}
	c.Close()
	c = dial()
	if err := echo(c, time.Second); err != nil {
		t.Fatalf("after a cut, anew: %v", err)
	}
	r.Blackhole(true)
	var timeout net.Error
	if err := echo(c, 200*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("in a blackhole: %v", err)
	}
	dark := dial()
	if err := echo(dark, 200*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("dialled in a blackhole: %v", err)
	}
	r.Blackhole(false)
	if err := echo(c, time.Second); err == nil {
		t.Error("a swallowed connection came back to life")
	}
	c.Close()
	dark.Close()
	if err := r.Refuse(true); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", r.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refusing: %v", err)
	}
	if err := r.Refuse(false); err != nil {
		t.Fatal(err)
	}
	c = dial()
	defer c.Close()
	if err := echo(c, time.Second); err != nil {
		t.Errorf("after refusing: %v", err)
	}
}
