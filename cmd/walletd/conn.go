package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"tapkeeper/uplink/wire"
)

const (
	connectTime = 10 * time.Second
	// writeTime bounds every write: a peer that stopped reading is noticed by it.
	writeTime = 5 * time.Second
	// maxPacket is the largest message with its topic and headers. The MQTT
	// library allocates what a header announces, up to 256 MiB for 5 bytes.
	maxPacket = wire.MaxMessage + 512
)

// broker is where to connect: a node of a cluster or several, tried in turn.
type broker struct {
	nodes []node
	tls   *tlsFiles // nil: without TLS
}

// node is one address.
type node struct{ host, name string } // host with port, name for TLS

// maxNodes bounds the nodes of a cluster.
const maxNodes = 16

// parseBroker reads mqtt://HOST[:PORT] or mqtts://HOST[:PORT], or several with
// commas between them.
func parseBroker(text string) (broker, error) {
	var b broker
	for part := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Hostname() == "" || u.Path != "" || u.User != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts" {
			return broker{}, fmt.Errorf("broker %q: want mqtt://HOST:PORT or mqtts://HOST:PORT", part)
		}
		secure, port := u.Scheme == "mqtts", u.Port()
		if len(b.nodes) > 0 && secure != (b.tls != nil) || len(b.nodes) == maxNodes {
			return broker{}, fmt.Errorf("broker: want up to %d nodes, all mqtts:// or all mqtt://", maxNodes)
		}
		if secure && b.tls == nil {
			b.tls = &tlsFiles{}
		}
		if port == "" && secure {
			port = "8883"
		} else if port == "" {
			port = "1883"
		}
		b.nodes = append(b.nodes, node{net.JoinHostPort(u.Hostname(), port), u.Hostname()})
	}
	return b, nil
}

// String names the nodes.
func (b broker) String() string {
	var all []string
	for _, n := range b.nodes {
		all = append(all, n.host)
	}
	return strings.Join(all, ",")
}

// dial connects by itself, so that no proxy of the environment comes between.
func (b broker) dial(ctx context.Context, attempt int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	to := b.nodes[attempt%len(b.nodes)]
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.host)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if b.tls != nil {
		config, err := b.tls.load()
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		config.ServerName = to.name
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS with the broker: %w", err), conn.Close())
		}
		conn = secured
	}
	return &guardedConn{Conn: conn}, nil
}

// guardedConn refuses packets over maxPacket before the library makes room for
// them. MQTT 3.1.1, 2.2: a type byte, up to four length bytes, the body.
type guardedConn struct {
	net.Conn
	body   int  // bytes left of the body
	inSize bool // reading length bytes
	shift  uint
}

var errPacket = errors.New("the broker sent a packet that is too large")

func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		switch {
		case c.inSize:
			c.body |= int(rest[0]&0x7F) << c.shift
			c.shift += 7
			c.inSize = rest[0]&0x80 != 0
			rest = rest[1:]
			if c.inSize && c.shift > 21 || c.body > maxPacket {
				return 0, errors.Join(errPacket, c.Conn.Close())
			}
		case c.body > 0:
			step := min(c.body, len(rest))
			c.body -= step
			rest = rest[step:]
		default:
			c.inSize, c.shift = true, 0
			rest = rest[1:]
		}
	}
	return n, err
}

func (c *guardedConn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
