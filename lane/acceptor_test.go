package lane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/zvtsim"
	"tapkeeper/reader/zvt"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
)

// counter is a till, a daemon that can die, and a card terminal that can too.
type counter struct {
	t       *testing.T
	journal *terminaltest.Journal
	cards   *zvtsim.Terminal
	device  string

	dead  atomic.Bool // this life commits nothing any more
	life  *terminal.Terminal
	end   func()
	mu    sync.Mutex
	told  map[terminal.ID]terminal.Payment // what the till was told for good
	tries int
}

func newCounter(t *testing.T, serial bool) *counter {
	t.Helper()
	c := &counter{t: t, journal: &terminaltest.Journal{}, cards: zvtsim.New(serial), told: map[terminal.ID]terminal.Payment{}}
	c.cards.Patience = 300 * time.Millisecond
	c.journal.Fail = func(terminal.Commit) error {
		if c.dead.Load() {
			return terminal.ErrUncertain // a process that is dead never learns more
		}
		return nil
	}
	var l zvtsim.Line
	if serial {
		pty, err := line.OpenPTY(t.TempDir() + "/tty")
		if err != nil {
			t.Fatal(err)
		}
		l, c.device = pty, pty.Path()
	} else {
		tcp, err := line.ListenTCP("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, c.device = tcp, "tcp:"+tcp.Addr()
	}
	c.end = func() {}
	served := make(chan struct{})
	go func() { defer close(served); c.cards.Serve(l) }()
	t.Cleanup(func() { c.end(); _ = l.Close(); <-served })
	c.start()
	return c
}

// start is a life of the daemon.
func (c *counter) start() {
	c.t.Helper()
	c.dead.Store(false)
	client, err := zvt.Open(c.device, zvt.Options{Currency: 978})
	if err != nil {
		c.t.Fatal(err)
	}
	wallet, err := terminaltest.NewWallet()
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := terminal.Config{
		Kernel: &emv.Terminal{ID: "TERM0001", MerchantID: "shop", Relay: emv.StandardRelay()},
		Zone:   time.UTC, Limits: terminal.DefaultLimits(), Bounds: terminal.DefaultBounds(),
	}
	floor := emv.Amount(20000)
	cfg.Kernel.AIDs = []emv.AID{{
		AID: []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 1, 1}, Enabled: true, Currency: 978, Country: 276, TxLimit: &floor, FloorLimit: &floor,
		TACDenial: emv.TVR{0xFF, 0x78, 0xC0, 0x00, 0x10}, TACOnline: emv.TVR{0, 0x84, 0, 0xFF, 0x0D}, TACDefault: emv.TVR{0, 0x84, 0, 0xFF, 0x0D},
	}}
	c.life, err = terminal.New(cfg, terminal.Parts{
		Journal: c.journal, Acceptor: acceptor{client}, Wallet: wallet, Keys: wallet.Keys, Clock: always{}, Random: rand.Reader,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.life.Recover(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.life.Run(ctx) }()
	c.end = sync.OnceFunc(func() { cancel(); _ = client.Close(); <-ended })
}

type always struct{}

func (always) Trusted(time.Time) bool { return true }

// pay opens a payment and waits for what the till is told, or for the daemon's death.
func (c *counter) pay(order string, minor int64) terminal.Payment {
	c.t.Helper()
	c.tries++
	p, err := c.life.Open(c.t.Context(), terminal.Request{
		Key: fmt.Sprintf("%s-%d", order, c.tries), OrderRef: order, AmountMinor: minor, Currency: "EUR", Offline: terminal.OfflineAllow,
	})
	if err != nil {
		c.t.Fatalf("open %s: %v", order, err)
	}
	return c.follow(p.ID)
}

// settled says that nothing of a payment is under way.
func settled(p terminal.Payment) bool {
	for _, r := range p.Refunds {
		if r.State == terminal.RefundQueued {
			return false
		}
	}
	return p.State.Ended()
}

func (c *counter) follow(id terminal.ID) terminal.Payment {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		p, err := c.life.Payment(id)
		if err != nil {
			c.t.Fatal(err)
		}
		if settled(p) {
			c.tell(p)
			return p
		}
		if c.dead.Load() {
			return p
		}
		if time.Now().After(end) {
			c.t.Fatalf("payment is still %s, refunds %+v", p.State, p.Refunds)
		}
		time.Sleep(time.Millisecond)
	}
}

// tell holds that what a till was told for good never changes.
func (c *counter) tell(p terminal.Payment) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.told[p.ID]; ok && was.State != p.State {
		c.t.Errorf("the till was told %s, and now %s", was.State, p.State)
	}
	c.told[p.ID] = p
}

// count is how often the card terminal has booked something, and not undone it by itself.
func (c *counter) count(kind zvtsim.Kind) (n int) {
	for _, b := range c.cards.Bookings() {
		if b.Kind == kind {
			n++
		}
	}
	return n
}

func TestCardPayments(t *testing.T) {
	c := newCounter(t, true)
	c.cards.SetDecide(func(minor int64) byte {
		if minor == 6_66 {
			return 0x05
		}
		return 0
	})
	p := c.pay("tea-1", 12_50)
	if p.State != terminal.Approved || p.Settlement != terminal.NotSettled || p.End() != terminal.Paid || p.LastDigits != "4321" || p.Card.Booking.Receipt != "0001" {
		t.Fatalf("%+v, %+v", p, p.Card)
	}
	if slip, err := c.life.Slip(p.ID); err != nil || !strings.Contains(strings.Join(slip, "\n"), "HÄNDLERBELEG") {
		t.Errorf("receipt %q, %v", slip, err)
	}
	if again, err := c.life.Open(t.Context(), terminal.Request{OrderRef: "tea-1", AmountMinor: 12_50, Currency: "EUR", Offline: terminal.OfflineAllow}); err != nil || again.ID != p.ID {
		t.Errorf("the same order again: %+v, %v", again, err)
	}
	if p := c.pay("tea-2", 6_66); p.State != terminal.Declined || p.End() != terminal.NotPaid || !strings.Contains(p.Card.Booking.Why, "abgelehnt") {
		t.Errorf("%+v, %+v", p, p.Card)
	}
	back, err := c.life.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "back-1", AmountMinor: 2_50})
	if err != nil || back.State != terminal.RefundQueued {
		t.Fatalf("%+v, %v", back, err)
	}
	if p = c.follow(p.ID); p.RefundedMinor() != 2_50 || p.End() != terminal.Paid || c.count(zvtsim.Refund) != 1 {
		t.Errorf("%+v", p.Refunds)
	}
	whole := c.pay("tea-3", 5_00)
	if _, err := c.life.Refund(t.Context(), terminal.RefundRequest{Payment: whole.ID, Key: "back-2"}); err != nil {
		t.Fatal(err)
	}
	if whole = c.follow(whole.ID); whole.End() != terminal.Refunded || c.count(zvtsim.Reversal) != 1 {
		t.Errorf("%+v, %d reversals", whole.Refunds, c.count(zvtsim.Reversal))
	}
	if _, err := c.life.Refund(t.Context(), terminal.RefundRequest{Payment: whole.ID, Key: "back-3"}); err == nil {
		t.Error("more than was paid went back")
	}
	c.wantDay(4, 12_50-2_50)
	c.wantDay(0, 0)
}

func (c *counter) wantDay(count int, sum int64) {
	c.t.Helper()
	day, err := c.life.CloseCards(c.t.Context())
	if want := (terminal.CardTotals{Count: count, SumMinor: sum}); err != nil || !day.Match || day.Here != want {
		c.t.Errorf("day %+v, %v; want %+v", day, err, want)
	}
}

func TestCardPaymentIsCancelled(t *testing.T) {
	c := newCounter(t, false)
	c.cards.Slowness = 80 * time.Millisecond
	c.cards.SetFault(func(m zvtsim.Message) zvtsim.Fault {
		if m.Control == zvt.IntermStatus {
			return zvtsim.Slow
		}
		return zvtsim.None
	})
	p, err := c.life.Open(t.Context(), terminal.Request{OrderRef: "tea", AmountMinor: 100, Currency: "EUR", Offline: terminal.OfflineAllow})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = c.life.Cancel(t.Context(), p.ID); err != nil || p.State != terminal.Cancelled {
		t.Errorf("%s, %v", p.State, err)
	}
	p, err = c.life.Open(t.Context(), terminal.Request{OrderRef: "tea", AmountMinor: 100, Currency: "EUR", Offline: terminal.OfflineAllow, ExpiresIn: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if p = c.follow(p.ID); p.State != terminal.Expired || len(c.cards.Bookings()) != 0 {
		t.Errorf("%s, %d bookings", p.State, len(c.cards.Bookings()))
	}
}

func TestCardTerminalThatIsNotThere(t *testing.T) {
	client, err := zvt.Open("tcp:127.0.0.1:1", zvt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := (acceptor{client}).Ready(t.Context()); !errors.Is(err, terminal.ErrNoField) {
		t.Errorf("%v, want that a payment is refused before it is made", err)
	}
}

// A full disk at the booking: the card terminal is told to undo it, and the till hears that nothing is paid.
func TestCardBookingThatCannotBeKept(t *testing.T) {
	c := newCounter(t, false)
	full := atomic.Bool{}
	c.journal.Fail = func(k terminal.Commit) error {
		if full.Load() && strings.Contains(string(k.Event), "told to keep it") {
			full.Store(false)
			return terminal.ErrStorage
		}
		return nil
	}
	full.Store(true)
	if p := c.pay("tea", 100); p.State != terminal.Failed || len(c.cards.Bookings()) != 0 {
		t.Errorf("%s, %d bookings", p.State, len(c.cards.Bookings()))
	}
	if p := c.pay("tea", 100); p.State != terminal.Approved {
		t.Errorf("again: %s", p.State)
	}
	c.wantDay(1, 100)
}

// The money rule: when the acknowledgement of 04 0F reaches the card terminal, the booking is on our disk.
func TestBookingIsOnDiskBeforeItIsAcknowledged(t *testing.T) {
	c := newCounter(t, true)
	c.journal.Fail = func(k terminal.Commit) error {
		if strings.Contains(string(k.Event), "told to keep it") {
			time.Sleep(50 * time.Millisecond) // a disk takes its time, and the acknowledgement must wait for it
		}
		return nil
	}
	var before zvt.Control
	var order sync.Mutex
	var kept []bool
	c.cards.SetFault(func(m zvtsim.Message) zvtsim.Fault {
		order.Lock()
		defer order.Unlock()
		if m.Incoming && m.Control == zvt.Done && before == zvt.StatusInfo {
			payments, err := c.life.Order("tea")
			kept = append(kept, err == nil && payments[0].Card != nil && payments[0].Card.Booking != nil && payments[0].Card.Booking.Done)
		}
		before = m.Control
		return zvtsim.None
	})
	if p := c.pay("tea", 12_50); p.State != terminal.Approved {
		t.Fatal(p.State)
	}
	order.Lock()
	defer order.Unlock()
	if !slices.Equal(kept, []bool{true}) {
		t.Errorf("on disk at each acknowledgement: %v", kept)
	}
}

// strike is one cut: at which message, before or after it has arrived, and whose power or line it is.
type strike struct {
	who     string
	command zvt.Control
	number  int
	fault   zvtsim.Fault
}

// hit makes a strike once.
func (c *counter) hit(s strike) *atomic.Bool {
	var done atomic.Bool
	mine := false
	c.cards.SetFault(func(m zvtsim.Message) zvtsim.Fault {
		if m.Number == 1 {
			mine = m.Control == s.command
		}
		if !mine || m.Number != s.number || done.Load() {
			return zvtsim.None
		}
		done.Store(true)
		if s.who == "daemon" {
			c.dead.Store(true)
		}
		return s.fault
	})
	return &done
}

// revive starts the daemon's next life where the last one has died.
func (c *counter) revive() {
	if c.dead.Load() {
		c.end()
		c.start()
	}
}

// TestPowerLossOfCardPayments cuts the power of the card terminal, the line, or the daemon at every message of a
// payment, a refund and a reversal. Afterwards journal, card terminal and till agree: about each command, and about
// the totals of the day.
func TestPowerLossOfCardPayments(t *testing.T) {
	faults := map[string][2]zvtsim.Fault{
		"card terminal": {zvtsim.PowerBefore, zvtsim.PowerAfter},
		"line":          {zvtsim.CutBefore, zvtsim.CutAfter},
		"daemon":        {zvtsim.CutBefore, zvtsim.CutAfter},
	}
	if testing.Short() {
		delete(faults, "line") // the daemon's death cuts the line too
	}
	messages := map[zvt.Control]int{zvt.Authorisation: 12, zvt.Refund: 8, zvt.Reversal: 8}
	type row struct {
		command zvt.Control
		who     string
		moved   []bool
	}
	var rows []*row
	for _, command := range []zvt.Control{zvt.Authorisation, zvt.Refund, zvt.Reversal} {
		for _, who := range slices.Sorted(maps.Keys(faults)) {
			rows = append(rows, &row{command: command, who: who})
		}
	}
	t.Run("cuts", func(t *testing.T) {
		for _, r := range rows {
			t.Run(fmt.Sprintf("%v/%s", r.command, r.who), func(t *testing.T) {
				t.Parallel()
				for number := 1; number <= messages[r.command]; number++ {
					for _, fault := range faults[r.who] {
						r.moved = append(r.moved, struck(t, strike{r.who, r.command, number, fault}))
					}
				}
			})
		}
	})
	var table strings.Builder
	total, taken := 0, 0
	for _, r := range rows {
		fmt.Fprintf(&table, "%-28s %-14s", r.command, r.who)
		for _, moved := range r.moved {
			if total++; moved {
				taken++
			}
			fmt.Fprintf(&table, " %s", map[bool]string{true: "+", false: "-"}[moved])
		}
		table.WriteByte('\n')
	}
	t.Logf("message by message, before and after it arrives; + the money has moved, in all books; - it has not, in none\n%s%d cuts, %d with money moved, 0 taken and not journalled", table.String(), total, taken)
	if taken == 0 || taken == total {
		t.Errorf("%d of %d: the cuts did not hit", taken, total)
	}
}

func struck(t *testing.T, s strike) (moved bool) {
	t.Helper()
	c := newCounter(t, s.number%2 == 0)
	defer c.end()
	name := fmt.Sprintf("%v of %s at message %d (%d)", s.command, s.who, s.number, s.fault)
	var first terminal.Payment
	if s.command != zvt.Authorisation {
		first = c.pay("tea-1", 9_00)
	}
	done := c.hit(s)
	kind := zvtsim.Payment
	switch s.command {
	case zvt.Authorisation:
		first = c.pay("tea-1", 9_00)
	default:
		amount := int64(0)
		kind = zvtsim.Reversal
		if s.command == zvt.Refund {
			kind, amount = zvtsim.Refund, 4_00
		}
		if _, err := c.life.Refund(t.Context(), terminal.RefundRequest{Payment: first.ID, Key: "back", AmountMinor: amount}); err != nil {
			t.Fatal(err)
		}
		first = c.follow(first.ID)
	}
	c.revive()
	first = c.follow(first.ID)
	if !done.Load() {
		t.Errorf("%s: it did not happen", name)
	}
	c.cards.SetFault(nil)
	booked := c.count(kind)
	moved = first.State == terminal.Approved
	if s.command != zvt.Authorisation {
		moved = first.Refunds[0].State == terminal.RefundDone
	}
	if booked > 1 || moved != (booked == 1) {
		t.Errorf("%s: the card terminal has booked it %d times, the journal says %v", name, booked, moved)
	}
	if s.command == zvt.Authorisation && !moved { // the order can be paid
		if p := c.pay("tea-1", 9_00); p.State != terminal.Approved {
			t.Errorf("%s: paid again: %s", name, p.State)
		}
	}
	var sum int64
	for _, b := range c.cards.Bookings() {
		if sum += b.AmountMinor; b.Kind != zvtsim.Payment {
			sum -= 2 * b.AmountMinor
		}
	}
	c.wantDay(len(c.cards.Bookings()), sum)
	return moved
}

// keeper stores everything.
type keeper struct{ terminal.Witness }

func (keeper) Store(terminal.Booking) error { return nil }

func TestBookingInAnotherCurrencyIsNotKept(t *testing.T) {
	w := watching{keeper{}, 978}
	for currency, kept := range map[uint16]bool{978: true, 0: true, 756: false} {
		if err := w.Store(zvt.Status{Currency: currency}); (err == nil) != kept {
			t.Errorf("currency %d: %v", currency, err)
		}
	}
}
