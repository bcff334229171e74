package network_test

import (
	"io"
	"net"
	"testing"
	"time"

	"tapkeeper/uplink/uplinktest/network"
)

// echo sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// trip sends n bytes and waits for all of them.
func trip(c net.Conn, n int, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	_ = c.SetDeadline(began.Add(limit))
	go func() { _, _ = c.Write(make([]byte, n)) }()
	_, err := io.ReadFull(c, make([]byte, n))
	return time.Since(began), err
}

func TestLineFaults(t *testing.T) {
	l, err := network.Open(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	good := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := dial()
	took, err := trip(c, 100, time.Second)
	good(err)
	good(l.Delay(60*time.Millisecond, 0))
	slow, err := trip(c, 100, 5*time.Second)
	good(err)
	if slow < 120*time.Millisecond || took > 60*time.Millisecond {
		t.Errorf("%v without delay, %v with 2 x 60 ms", took, slow)
	}
	good(l.Delay(0, 0))
	good(l.Rate(100))
	narrow, err := trip(c, 20_000, 5*time.Second)
	good(err)
	if narrow < 150*time.Millisecond {
		t.Errorf("20 kB at 100 kB/s took %v", narrow)
	}
	good(l.Rate(0))
	good(l.HalfOpen(true))
	if _, err := trip(c, 10, 200*time.Millisecond); !isTimeout(err) {
		t.Errorf("half-open: %v", err)
	}
	if _, err := trip(dial(), 10, 200*time.Millisecond); !isTimeout(err) {
		t.Errorf("half-open, new connection: %v", err)
	}
	good(l.HalfOpen(false))
	c = dial()
	if _, err := trip(c, 10, time.Second); err != nil {
		t.Errorf("healed: %v", err)
	}
	good(l.Cut())
	if _, err := trip(c, 10, time.Second); err == nil || isTimeout(err) {
		t.Errorf("cut: %v", err)
	}
	good(l.Refuse(true))
	if _, err := net.Dial("tcp", l.Addr()); err == nil {
		t.Error("refuse: connected")
	}
	good(l.Heal())
	if _, err := trip(dial(), 10, time.Second); err != nil {
		t.Errorf("open again: %v", err)
	}
}

func isTimeout(err error) bool {
	n, ok := err.(net.Error)
	return ok && n.Timeout()
}
