package terminal_test

import (
	"crypto/rand"
	"testing"
	"time"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
)

// A business day ends at 04:00 store time also where the clocks change in between.
func TestBusinessDayOfSummerTime(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.Zone = zone
	w, err := terminaltest.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	shop, err := terminal.New(cfg, terminal.Parts{
		Journal: &terminaltest.Journal{}, Field: emptyField{}, Wallet: w, Keys: w.Keys, Trust: noList{}, Clock: goodClock{}, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 3, 29, 3, 59, 0, 0, zone), "2026-03-28"},
		{time.Date(2026, 3, 29, 4, 0, 0, 0, zone), "2026-03-29"},   // three hours after midnight
		{time.Date(2026, 10, 25, 3, 59, 0, 0, zone), "2026-10-24"}, // five hours after midnight
		{time.Date(2026, 10, 25, 4, 0, 0, 0, zone), "2026-10-25"},
		{time.Date(2026, 11, 24, 3, 59, 0, 0, zone), "2026-11-23"},
		{time.Date(2026, 11, 24, 4, 0, 0, 0, zone), "2026-11-24"},
	} {
		if got := shop.BusinessDay(c.at); got != c.want {
			t.Errorf("%s belongs to %s, want %s", c.at, got, c.want)
		}
	}
}
