package uplink

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"tapkeeper/uplink/wire"
)

// maxPacket bounds an inbound MQTT packet: the largest message, its topic and
// headers. The library allocates what a packet's header announces before it has
// read it, up to 256 MiB for 5 bytes.
const maxPacket = wire.MaxMessage + 512

// dial opens the connection by itself, so that no proxy from the environment
// comes between, and guards it.
func dial(ctx context.Context, b broker, cfg *Config, secure *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timing.Connect)
	defer cancel()
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: cfg.Timing.KeepAlive, Interval: cfg.Timing.KeepAlive, Count: 3},
		Control:         limitUnacknowledged(cfg.Timing.KeepAlive + cfg.Timing.PingTimeout),
	}
	raw, err := d.DialContext(ctx, "tcp", b.host)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if !b.tls {
		return &guardedConn{Conn: raw, write: cfg.Timing.Write}, nil
	}
	t := tls.Client(raw, tlsConfig(secure, b.name))
	if err := t.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS with the broker: %w", err)
	}
	return &guardedConn{Conn: t, write: cfg.Timing.Write}, nil
}

func tlsConfig(given *tls.Config, name string) *tls.Config {
	c := &tls.Config{}
	if given != nil {
		c = given.Clone()
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	if c.ServerName == "" {
		c.ServerName = name
	}
	return c
}

// guardedConn refuses packets over maxPacket before their body is read, and
// bounds every write: the library's own limit does not cover its pings.
type guardedConn struct {
	net.Conn
	write time.Duration
	in    packetMeter
}

func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bad := c.in.see(p[:n]); bad != nil {
		c.Conn.Close()
		return 0, bad
	}
	return n, err
}

func (c *guardedConn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// packetMeter follows MQTT packets in a stream: a type byte, up to four length
// bytes of 7 bits each (MQTT 3.1.1, 2.2.3), the body.
type packetMeter struct {
	state  byte // 0 type, 1 length, 2 body
	shift  uint
	length int
}

func (m *packetMeter) see(p []byte) error {
	for len(p) > 0 {
		switch m.state {
		case 0:
			p = p[1:]
			m.state, m.shift, m.length = 1, 0, 0
		case 1:
			m.length |= int(p[0]&0x7f) << m.shift
			more := p[0]&0x80 != 0
			p = p[1:]
			m.shift += 7
			if more && m.shift > 21 || m.length > maxPacket {
				return &Trouble{Problem: BadProtocol, Text: "the broker sent a packet that is too large"}
			}
			if !more {
				m.state = 2
			}
		case 2:
			n := min(m.length, len(p))
			m.length -= n
			p = p[n:]
		}
		if m.state == 2 && m.length == 0 {
			m.state = 0
		}
	}
	return nil
}
