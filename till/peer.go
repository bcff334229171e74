package till

import (
	"context"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
)

// managers is the group whose members may export evidence, beside root and the
// daemon's own user.
const managers = "tapkeeper-manager"

type peerKey struct{}

// withPeer keeps the user at the other end of a connection, as the operating
// system knows them: nothing that a caller says is believed.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if uid, ok := peerUID(c); ok {
		return context.WithValue(ctx, peerKey{}, uid)
	}
	return ctx
}

// peer names the caller, and says whether they are a manager. An unknown caller
// has no name and is none.
func peer(ctx context.Context) (name string, manager bool) {
	uid, ok := ctx.Value(peerKey{}).(int)
	if !ok {
		return "", false
	}
	name = "uid " + strconv.Itoa(uid)
	u, err := user.LookupId(strconv.Itoa(uid))
	if err == nil {
		name += " (" + u.Username + ")"
	}
	if uid == 0 || uid == os.Geteuid() {
		return name, true
	}
	group, errGroup := user.LookupGroup(managers)
	if err != nil || errGroup != nil {
		return name, false
	}
	ids, err := u.GroupIds()
	return name, err == nil && slices.Contains(ids, group.Gid)
}
