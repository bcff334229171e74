package endtoend_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

var seed = flag.Uint64("chaos.seed", 1, "of the faults and the payments")

// payments is how many a run makes; TAPKEEPER_SOAK gives seconds instead.
const payments = 1000

// TestChaosMosquitto and TestChaosNATS: payments while brokers and the wallet are
// killed and frozen, and lines delayed, narrowed, cut and made half-open. What
// this proves: none lost, none taken twice, every end as told, and the two books
// equal to the last fen.
func TestChaosMosquitto(t *testing.T) { chaos(t, mosquitto) }

func TestChaosNATS(t *testing.T) { chaos(t, nats) }

func chaos(t *testing.T, b broker) {
	if testing.Short() {
		t.Skip("long: a minute of faults")
	}
	t.Parallel()
	began := time.Now()
	s := open(t, b)
	c := newTill(s)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute)
	defer stop()
	f := &faults{s: s, done: map[string]int{}}
	faulty, calm := context.WithCancel(ctx)
	defer calm()
	var injectors sync.WaitGroup
	for n, inject := range []func(context.Context, *rand.Rand){f.brokers, f.lines, f.wallets} {
		random := rand.New(rand.NewPCG(*seed, uint64(n)))
		injectors.Go(func() { inject(faulty, random) })
	}
	people := customers()
	orders := 0
	random := rand.New(rand.NewPCG(*seed, 100))
	for more := quota(began); more(orders) || f.missing() != ""; orders++ { // a fast machine has paid before all has broken
		minor := 1 + random.Int64N(4_00)
		if random.IntN(4) == 0 && orders%payments < payments*2/3 {
			// Above what a phone decides alone: the wallet must be asked. Not at the
			// end, for what becomes unknown is asked about for most of a minute.
			minor += 250_00
		}
		if err := c.pay(ctx, fmt.Sprint("order-", orders), people[orders%len(people)].ID, minor); err != nil {
			t.Fatal(err)
		}
	}
	calm()
	injectors.Wait()
	tapped := time.Since(began)
	out := c.audit(orders)
	t.Logf("seed %d: %d payments in %v, settled after %v: %+v; %v", *seed, orders, tapped.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond), out, f.done)
	if out.stored == 0 || out.approved == 0 {
		t.Errorf("no mix of stored and online payments: %+v", out)
	}
	if kind := f.missing(); kind != "" {
		t.Errorf("no %s in the whole run", kind)
	}
}

// quota says how long to go on.
func quota(began time.Time) func(orders int) bool {
	seconds, err := strconv.Atoi(os.Getenv("TAPKEEPER_SOAK"))
	if err != nil || seconds <= 0 {
		return func(orders int) bool { return orders < payments }
	}
	return func(int) bool { return time.Since(began) < time.Duration(seconds)*time.Second }
}

// faults breaks what is between a till and its wallet, one thing of each sort at
// a time, and leaves everything whole.
type faults struct {
	s    *site
	mu   sync.Mutex
	done map[string]int
}

func (f *faults) did(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[kind]++
}

// missing is a fault that there was not yet; "" when there was each.
func (f *faults) missing() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, kind := range []string{"kill broker", "freeze broker", "kill wallet", "delay", "halve", "cut", "half-open", "refuse"} {
		if f.done[kind] == 0 {
			return kind
		}
	}
	return ""
}

// deck deals the numbers below size in a random order, again and again.
type deck struct {
	random *rand.Rand
	size   int
	left   []int
}

func (d *deck) draw() int {
	if len(d.left) == 0 {
		d.left = d.random.Perm(d.size)
	}
	n := d.left[0]
	d.left = d.left[1:]
	return n
}

// between waits for a random time; false when the faults are over.
func between(ctx context.Context, random *rand.Rand, low, high time.Duration) bool {
	t := time.NewTimer(low + time.Duration(random.Int64N(int64(high-low))))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// brokers kills and freezes one broker at a time.
func (f *faults) brokers(ctx context.Context, random *rand.Rand) {
	kinds := deck{random: random, size: 2}
	for between(ctx, random, time.Second, 3*time.Second) {
		n := f.s.nodes[random.IntN(len(f.s.nodes))]
		if kinds.draw() == 0 {
			n.Kill()
			between(ctx, random, 50*time.Millisecond, time.Second)
			n.restart()
			f.did("kill broker")
		} else {
			n.Freeze()
			between(ctx, random, 500*time.Millisecond, 3*time.Second)
			n.Thaw()
			f.did("freeze broker")
		}
		f.s.lane.SyncNow()
	}
}

// lines spoils one line at a time.
func (f *faults) lines(ctx context.Context, random *rand.Rand) {
	kinds := deck{random: random, size: 5}
	for between(ctx, random, 200*time.Millisecond, time.Second) {
		n := f.s.nodes[random.IntN(len(f.s.nodes))]
		l, kind := n.till, ""
		if random.IntN(3) == 0 {
			l = n.wallet
		}
		var err error
		hold := time.Second
		switch kinds.draw() {
		case 0:
			kind, err = "delay", l.Delay(time.Duration(20+random.IntN(100))*time.Millisecond, 20*time.Millisecond)
		case 1:
			kind, err = "halve", l.Rate(64>>random.IntN(3)) // 64, 32, 16 kB/s
		case 2:
			kind, err = "cut", l.Cut()
			hold = 20 * time.Millisecond
		case 3:
			kind, err = "half-open", l.HalfOpen(true)
			hold = 3 * time.Second
		case 4:
			kind, err = "refuse", l.Refuse(true)
		}
		between(ctx, random, hold/4, hold)
		if err == nil {
			err = l.Heal()
		}
		if err != nil {
			f.s.t.Errorf("%s: %v", kind, err)
			return
		}
		f.did(kind)
		if random.IntN(3) == 0 {
			f.s.lane.SyncNow() // as an impatient cashier
		}
	}
}

// wallets kills the wallet's process.
func (f *faults) wallets(ctx context.Context, random *rand.Rand) {
	for between(ctx, random, 3*time.Second, 6*time.Second) {
		f.s.wallet.Kill()
		between(ctx, random, 50*time.Millisecond, 500*time.Millisecond)
		if err := f.s.wallet.Start(); err != nil {
			f.s.t.Errorf("walletd: %v", err)
			return
		}
		f.did("kill wallet")
	}
}
