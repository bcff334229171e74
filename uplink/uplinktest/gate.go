package uplinktest

import (
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// gate is the broker's door.
type gate struct {
	mochi.HookBase
	server *mochi.Server
	allow  func(client, user, password string) bool
	permit func(client, topic string, write bool) bool
}

func (g *gate) ID() string { return "gate" }

func (g *gate) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (g *gate) OnConnectAuthenticate(c *mochi.Client, pk packets.Packet) bool {
	if g.allow != nil && !g.allow(c.ID, string(pk.Connect.Username), string(pk.Connect.Password)) {
		return false
	}
	g.clear(c.ID)
	return true
}

// clearTime bounds the wait for an earlier connection's end.
const clearTime = 2 * time.Second

// clear ends an earlier clean session of a client and waits until it is forgotten.
// Mochi forgets it by the client's id, beside the connection that comes after it, and
// takes that one's subscriptions away when it is late (server.go, attachClient).
func (g *gate) clear(id string) {
	before, ok := g.server.Clients.Get(id)
	if !ok || !before.Properties.Clean {
		return
	}
	_ = g.server.DisconnectClient(before, packets.ErrSessionTakenOver) // its socket may be gone
	for end := time.Now().Add(clearTime); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, ok := g.server.Clients.Get(id); !ok || now != before {
			return
		}
	}
}

func (g *gate) OnACLCheck(c *mochi.Client, topic string, write bool) bool {
	return g.permit == nil || c.Net.Inline || g.permit(c.ID, topic, write)
}
