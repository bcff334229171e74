package uplink_test

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"tapkeeper/uplink"
)

// hostileBroker accepts a CONNECT, and after CONNACK sends what it is told to.
func hostileBroker(t *testing.T, after []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			c.SetDeadline(time.Now().Add(2 * time.Second))
			if _, err := c.Read(buf); err == nil {
				c.Write([]byte{0x20, 2, 0, 0})
				c.Write(after)
				io.Copy(io.Discard, c)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "mqtt://" + l.Addr().String()
}

// Five bytes announce 256 MiB; none of it may be allocated.
func TestOversizedPacketIsRefused(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	url := hostileBroker(t, []byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l := start(t, uplink.Config{Broker: url, Terminal: p.terminal}, nil)
	eventually(t, 5*time.Second, "refused", func() bool {
		s := l.Status()
		return s.Problem == uplink.BadProtocol && s.Text == "the broker sent a packet that is too large"
	})
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d MiB allocated", grown>>20)
	}
}

// A broker that acknowledges nothing is left, not trusted.
func TestSilentBrokerIsLeft(t *testing.T) {
	p := newParties(t)
	noLeaks(t)
	l := start(t, uplink.Config{Broker: hostileBroker(t, nil), Terminal: p.terminal}, nil)
	eventually(t, 10*time.Second, "left", func() bool { return l.Status().Attempts > 1 })
	if s := l.Status(); s.Up {
		t.Errorf("up: %+v", s)
	}
}
