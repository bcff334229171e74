package lane

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tapkeeper/uplink/wire"
)

// A message that does not get into the journal makes the link as good as down:
// its answers would not be heard.
func TestStuckHandlerIsNoLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h handling
		release := make(chan struct{})
		handle := h.watch(func(context.Context, *wire.Message) error { <-release; return nil })
		go func() { _ = handle(t.Context(), nil) }()
		time.Sleep(handlingBound)
		synctest.Wait()
		if _, stuck := h.stuck(time.Now()); stuck {
			t.Error("stuck within the bound")
		}
		time.Sleep(time.Second)
		if took, stuck := h.stuck(time.Now()); !stuck || took != handlingBound+time.Second {
			t.Errorf("stuck=%v after %s", stuck, took)
		}
		close(release)
		synctest.Wait()
		if _, stuck := h.stuck(time.Now()); stuck {
			t.Error("stuck after it went on")
		}
	})
}
