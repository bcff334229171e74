package lane

import (
	"testing"
	"time"
)

// A wallet answers a repeated message with the bytes of its first answer, whose
// time is that of then (backend.Service.Handle: "the same message again changes
// nothing and gets the same bytes"). Such an answer says nothing of now.
func TestRepeatedAnswerIsNoClock(t *testing.T) {
	c := &clock{}
	now := time.Now()
	c.sawWallet(now)                      // a fresh answer, to an echo
	c.sawWallet(now.Add(-48 * time.Hour)) // an advice sent again: its receipt of two days ago
	counter, _ := sinceBoot()
	expected := c.seen.Wallet.Add(counter - c.seen.Counter)
	if drift := now.Sub(expected).Abs(); drift > maxDrift {
		t.Errorf("the wallet's time is believed to be %s off", drift.Round(time.Second))
	}
	if !synchronised() {
		if trusted, why := c.judge(now); !trusted {
			t.Errorf("a right clock is not trusted: %s", why)
		}
		if trusted, why := c.judge(now.Add(-48 * time.Hour)); trusted {
			t.Errorf("a clock two days behind is trusted: %s", why)
		}
	}
}
