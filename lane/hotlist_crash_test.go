package lane_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/uplink/wire"
)

// TestKilledOverHotlist: a kill between the arrival of a list and its end leaves the
// old list or the new one, whole. The terminal is killed before it takes it up, after
// it was taken, and at moments in between that nobody chooses.
func TestKilledOverHotlist(t *testing.T) {
	s := newShop(t)
	keys := s.Keys()
	wallet, err := wire.NewWallet(wire.WalletKeys{Signing: keys.Signing, Decryption: keys.Decryption,
		Terminal: func(wire.Address, string) (ed25519.PublicKey, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	const each = 900 // entries of a change: the list is in several pieces from the third on
	send := func(version int64) {
		t.Helper()
		var added []string
		for n := range each {
			added = append(added, fmt.Sprintf("%08x%08x", version, n))
		}
		raw, err := wallet.Seal(here, header(time.Now()), listOf(uint64(version), uint64(version-1), time.Now(), added...))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Publish(here.DownTopic(wire.KindHotlist), raw); err != nil {
			t.Fatal(err)
		}
	}
	start := func(kill string) (version int64) {
		t.Helper()
		if err := s.start(kill); err != nil {
			t.Fatal(err)
		}
		a, err := s.until("connected", func(a answer) bool { return a.Connected })
		if err != nil {
			t.Fatal(err)
		}
		if a.Blocked != int(a.Hotlist)*each {
			t.Fatalf("version %d with %d entries, want %d", a.Hotlist, a.Blocked, a.Hotlist*each)
		}
		return a.Hotlist
	}
	died := func() {
		t.Helper()
		select {
		case <-s.life.Done():
			s.wantKilled()
		case <-time.After(patience):
			t.Fatal("the daemon lives on")
		}
	}
	old, taken := 0, 0
	version := start("before the wallet's hotlist")
	for round := range 8 {
		send(version + 1)
		kill := ""
		switch round {
		case 0, 1:
			died()
		default:
			time.Sleep(time.Duration(round-2) * 1500 * time.Microsecond)
			if err := s.daemon.Kill(); err != nil && !errors.Is(err, lanetest.ErrNotRunning) {
				t.Fatal(err)
			}
		}
		if round == 0 {
			kill = "after the wallet's hotlist"
		}
		before := version
		switch version = start(kill); {
		case version == before && round != 1:
			old++
		case version == before+1 && round != 0:
			taken++
		default:
			t.Fatalf("round %d: version %d after %d", round, version, before)
		}
	}
	t.Logf("the old list in force after %d kills, the new one after %d", old, taken)
	s.stop()
}
