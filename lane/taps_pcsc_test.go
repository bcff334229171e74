//go:build cgo && !nopcsc

package lane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/lane"
	"tapkeeper/lane/lanetest"
	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/terminal"
)

// tapsOverPCSCD is how many payments make test makes; TAPKEEPER_SOAK multiplies it.
const tapsOverPCSCD = 200

// A real lane, a real pcscd and the simulated phone: many payments, each with a tap of its own, without an error, and
// nothing grows.
func TestPaymentsOverPCSCD(t *testing.T) {
	taps := tapsOverPCSCD
	if testing.Short() {
		taps = 30
	}
	if times, err := strconv.Atoi(os.Getenv("TAPKEEPER_SOAK")); err == nil && times > 0 {
		taps *= times
	}
	dir, err := os.MkdirTemp("", "taps-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	store, err := lanetest.Open(t.Context(), lanetest.Options{
		Dir: dir, Reader: "pcsc", People: customers(taps), Limits: lanetest.Limits{SumMinor: 1_000_000_00, DeviceMinor: 1_000_000_00},
	})
	if errors.Is(err, readertest.ErrNoPCSCD) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, entry := range store.PCSCD.Env() {
		key, value, _ := strings.Cut(entry, "=")
		t.Setenv(key, value)
	}
	l, err := lane.Open(store.Config(), "test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- l.Run(ctx, func() { close(ready) }) }()
	defer func() {
		stop()
		if err := errors.Join(<-ended, l.Close()); err != nil {
			t.Error(err)
		}
	}()
	<-ready
	defer store.Field.Remove()

	var times []time.Duration
	var before resources
	warm := min(20, taps/2)
	for i := range taps {
		if i == warm {
			before = resourcesNow(t)
		}
		if i%tapsOfAPhone == 0 { // the next customer
			store.Field.Remove()
			store.Field.Wait()
			if err := store.Field.Present(store.Phones[customers(taps)[i/tapsOfAPhone].ID].Ready()); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		payOnce(t, l, fmt.Sprint(i))
		times = append(times, time.Since(start))
	}
	after := resourcesNow(t)
	t.Logf("%d payments over pcscd: %+v", taps, reader.SpreadOf(times))
	t.Logf("before %+v, after %+v", before, after)
	for end := time.Now().Add(patience); after.goroutines > before.goroutines+5 && time.Now().Before(end); after = resourcesNow(t) {
		time.Sleep(50 * time.Millisecond) // what the last payments still owe the wallet is being sent
	}
	if after.goroutines > before.goroutines+5 || after.threads > before.threads+5 || after.descriptors > before.descriptors+10 {
		t.Errorf("grown: before %+v, after %+v", before, after)
	}
	// The journal keeps what it must of each payment, on disk; in memory a few hundred bytes of each are allowed.
	if grown := int64(after.heap) - int64(before.heap); grown > 32<<20+int64(taps)*1024 {
		t.Errorf("the heap has grown by %d KiB in %d payments", grown>>10, taps)
	}
	m, err := store.Money(t.Context())
	for end := time.Now().Add(patience); err == nil && m.SpentMinor < int64(taps) && time.Now().Before(end); m, err = store.Money(t.Context()) {
		time.Sleep(20 * time.Millisecond) // what was stored is on its way
	}
	if err != nil || m.SpentMinor != int64(taps) {
		t.Errorf("the wallet has taken %d, want %d: %v", m.SpentMinor, taps, err)
	}
}

// tapsOfAPhone is less than the 1000 answers that a phone keeps without telling the wallet (wallet/phone).
const tapsOfAPhone = 900

// customers are as many as so many taps need.
func customers(taps int) (all []lanetest.Person) {
	for i := range (taps + tapsOfAPhone - 1) / tapsOfAPhone {
		all = append(all, lanetest.Person{
			ID: fmt.Sprintf("c%d", i), Name: "Customer", BalanceMinor: 1_000_00, Digits: [2]byte{0x11, byte(i%10)<<4 | byte(i/10%10)},
		})
	}
	return all
}

func payOnce(t *testing.T, l *lane.Lane, order string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := l.Terminal().Open(ctx, terminal.Request{OrderRef: order, AmountMinor: 1, Currency: lanetest.Currency, Offline: terminal.OfflineAllow})
	var busy *terminal.BusyError
	for errors.As(err, &busy) { // the last payment is still leaving the field
		time.Sleep(time.Millisecond)
		p, err = l.Terminal().Open(ctx, terminal.Request{OrderRef: order, AmountMinor: 1, Currency: lanetest.Currency, Offline: terminal.OfflineAllow})
	}
	for err == nil && !p.State.Ended() && ctx.Err() == nil {
		p, err = l.Terminal().Wait(ctx, p.ID, p.Revision)
	}
	if err != nil || p.State != terminal.Approved && p.State != terminal.Stored {
		t.Fatalf("payment %s: %s %v %v", order, p.State, p.Reason, err)
	}
}

// resources is what a process holds.
type resources struct {
	goroutines, threads, descriptors int
	heap                             uint64
}

func resourcesNow(t *testing.T) (r resources) {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.heap, r.goroutines = m.HeapAlloc, runtime.NumGoroutine()
	for dir, n := range map[string]*int{"/proc/self/fd": &r.descriptors, "/proc/self/task": &r.threads} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			// The journal's files are its own matter: their number grows with what it keeps.
			if link, _ := os.Readlink(dir + "/" + e.Name()); !strings.HasPrefix(link, "/") {
				*n++
			}
		}
	}
	return r
}
