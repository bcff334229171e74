package lane

import (
	"context"
	"sync"
	"time"

	"tapkeeper/uplink/wire"
)

// handlingBound is how long a message of the wallet may be on its way into the
// journal: far above a slow disk's sync. Above it the answers do not get through,
// whatever the connection says, and no tap may count on them.
const handlingBound = 10 * time.Second

// handling watches the messages that are being handled.
type handling struct {
	mu    sync.Mutex
	next  uint64
	since map[uint64]time.Time
}

// watch tells when a message is taken up and when it is done.
func (h *handling) watch(handle receiver) receiver {
	return func(ctx context.Context, m *wire.Message) error {
		h.mu.Lock()
		if h.since == nil {
			h.since = map[uint64]time.Time{}
		}
		h.next++
		n := h.next
		h.since[n] = time.Now()
		h.mu.Unlock()
		defer func() {
			h.mu.Lock()
			delete(h.since, n)
			h.mu.Unlock()
		}()
		return handle(ctx, m)
	}
}

// stuck says whether a message is not getting through, and for how long.
func (h *handling) stuck(now time.Time) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var longest time.Duration
	for _, at := range h.since {
		longest = max(longest, now.Sub(at))
	}
	return longest, longest > handlingBound
}
