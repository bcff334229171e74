package lane_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tapkeeper/terminal"
)

// TestCrashDuringRefund kills the daemon at each step of a refund, restarts it and
// asks again with the same key, as a till does that has lost the answer: the money
// goes back once, in one way, and both books agree.
func TestCrashDuringRefund(t *testing.T) {
	for name, c := range map[string]struct {
		online bool
		minor  int64 // of the refund; 0: all
		end    terminal.End
		taken  int64 // of 100, after it
	}{
		"unsent":  {false, 0, terminal.NotPaid, 0},
		"in part": {false, 40, terminal.Paid, 60},
		"settled": {true, 40, terminal.Paid, 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.open()
			points := 0
			for k := 1; ; k += stride() {
				order := fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), k)
				if !c.online {
					s.network(false)
					_, _ = s.until("the link is down", func(a answer) bool { return !a.Up })
				}
				if _, killed := s.pay(run{who: rich, minor: 100, online: c.online}, order, ""); killed {
					t.Fatal("killed before the refund")
				}
				killed := s.giveBack(order, c.minor, strconv.Itoa(k))
				if killed {
					points++
					if err := s.start(""); err != nil {
						t.Fatal(err)
					}
				}
				if c.online {
					s.connected()
				}
				if killed && s.giveBack(order, c.minor, "") { // before the advice can leave
					t.Fatal("killed a second time")
				}
				s.network(true)
				s.connected()
				p := s.settle(order)[0]
				for p.RefundedMinor() != 100-c.taken && !t.Failed() {
					if _, err := s.until("the refund is made", func(a answer) bool { return a.Waiting == 0 }); err != nil {
						t.Fatal(err)
					}
					p = s.must("order %s", order).Order[0]
				}
				s.payments[p.ID] = true
				s.paid += c.taken
				if s.agrees(&p); p.End() != c.end || len(p.Refunds) != 1 {
					t.Fatalf("killed at %q: it ended %q with %+v", s.heard.dying, p.End(), p.Refunds)
				}
				if s.sound(); t.Failed() {
					t.FailNow()
				}
				if !killed {
					break
				}
			}
			s.stop()
			t.Logf("%d points", points)
			if points == 0 {
				t.Errorf("only %d points", points)
			}
		})
	}
}

// giveBack asks for a refund, and says whether the daemon killed itself before
// nothing moved any more.
func (s *shop) giveBack(order string, minor int64, kill string) (killed bool) {
	s.t.Helper()
	before := len(s.heard.toldOf(order))
	s.tell("refund %s %d refund-%s %s", order, minor, order, kill)
	_, err := s.until("the refund is taken", func(answer) bool {
		if r, refused := s.heard.refusal(order); refused {
			s.t.Fatalf("the refund is refused: %+v", r)
		}
		return len(s.heard.toldOf(order)) > before
	})
	if err == nil {
		err = s.quiet()
	}
	return err != nil
}
