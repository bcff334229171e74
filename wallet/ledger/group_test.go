package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tapkeeper/wallet/ledger/ledgertest"
)

// Updates that wait at the same time share a commit, each with its own outcome.
func TestGroupCommit(t *testing.T) { each(t, groupCommit) }

func groupCommit(t *testing.T, l *Ledger) {
	hold, held := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		if err := l.Update(t.Context(), func(*Tx) error { close(held); <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-held
	const waiting = 20
	stop := errors.New("stop")
	var transactions sync.Map // how many the waiting ones ran in, the failed common one included
	outcomes := make([]error, waiting)
	for n := range byte(waiting) {
		all.Go(func() {
			outcomes[n] = l.UpdateKeys(t.Context(), []string{"m1"}, func(tx *Tx) error {
				transactions.Store(tx, true)
				if n == 7 {
					return stop
				}
				return tx.Take(payment(n+1, 10), "shop", noon)
			})
		})
	}
	for l.queued() < waiting {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	all.Wait()
	for n, err := range outcomes {
		if (n == 7) != errors.Is(err, stop) || n != 7 && err != nil {
			t.Errorf("update %d: %v", n, err)
		}
	}
	if got := balance(t, l, "shop"); got != 10*(waiting-1) {
		t.Errorf("the shop has %d", got)
	}

	// Without a failure the same number needs one transaction.
	hold, held = make(chan struct{}), make(chan struct{})
	all.Go(func() { _ = l.Update(t.Context(), func(*Tx) error { close(held); <-hold; return nil }) })
	<-held
	var seen sync.Map
	for n := range byte(waiting) {
		all.Go(func() {
			_ = l.Update(t.Context(), func(tx *Tx) error { seen.Store(tx, true); return tx.Take(payment(n+100, 1), "shop", noon) })
		})
	}
	for l.queued() < waiting {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	all.Wait()
	count := 0
	seen.Range(func(any, any) bool { count++; return true })
	if count != 1 || balance(t, l, "shop") != 10*(waiting-1)+waiting {
		t.Errorf("%d transactions, the shop has %d", count, balance(t, l, "shop"))
	}
}

func (l *Ledger) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// A caller that gave up keeps nobody else from his commit.
func TestCancelledUpdate(t *testing.T) { each(t, cancelledUpdate) }

func cancelledUpdate(t *testing.T, l *Ledger) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Update(gone, func(*Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := l.View(gone, func(*Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	update(t, l, func(tx *Tx) error { return tx.Take(payment(1, 10), "shop", noon) })
}

// Ledgers on one database, as several processes have, take the same payments at
// the same time, in any order and several in one transaction: every one once.
func TestSeveralWriters(t *testing.T) { ledgertest.Each(t, severalWriters) }

func severalWriters(t *testing.T, name string) {
	first := open(t, name)
	const ledgers, goroutines, ids, rounds = 4, 4, 24, 3
	var taken [ids]atomic.Int32
	var all sync.WaitGroup
	for w := range ledgers {
		l := first
		if w > 0 {
			var err error
			if l, err = Open(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
		for g := range goroutines {
			all.Go(func() {
				for i := range ids * rounds {
					n := byte((i*(2*w+5) + g*7) % ids)
					err := l.UpdateKeys(t.Context(), []string{"m1", "alice"}, func(tx *Tx) error { return tx.Take(payment(n, 10), "shop", noon) })
					switch {
					case err == nil:
						taken[n].Add(1)
					case !errors.Is(err, ErrExists):
						t.Errorf("take %d: %v", n, err)
					}
				}
			})
		}
	}
	all.Wait()
	for n := range taken {
		if got := taken[n].Load(); got != 1 {
			t.Errorf("payment %d was taken %d times", n, got)
		}
	}
	if got := balance(t, first, "shop"); got != 10*ids {
		t.Errorf("the shop has %d", got)
	}
}

// Two updates that lock each other's rows: the server ends one, which is run again.
func TestDeadlockIsRunAgain(t *testing.T) {
	l := open(t, ledgertest.Postgres(t))
	other, err := Open(t.Context(), l.store.(*postgres).name)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var both sync.WaitGroup
	both.Add(2)
	move := func(l *Ledger, key, from, to string) error {
		runs := 0
		return l.UpdateKeys(t.Context(), []string{key}, func(tx *Tx) error {
			runs++
			if err := tx.touch(from); err != nil {
				return err
			}
			if runs == 1 { // both hold one row and want the other
				both.Done()
				both.Wait()
			}
			return tx.touch(to)
		})
	}
	var work sync.WaitGroup
	var first, second error
	work.Go(func() { first = move(l, "one", "alice", "shop") })
	work.Go(func() { second = move(other, "two", "shop", "alice") })
	work.Wait()
	if first != nil || second != nil {
		t.Errorf("%v, %v", first, second)
	}
}

func (tx *Tx) touch(account string) error {
	return tx.exec(ErrNone, `UPDATE accounts SET balance_minor = balance_minor + 0 WHERE id = $1`, account)
}

// A name with a password is never repeated, and a server that does not sync is refused.
func TestOpenPostgresRefusals(t *testing.T) {
	good := ledgertest.Postgres(t)
	for name, c := range map[string]struct{ dsn, want string }{
		"nobody there":   {"postgres://walletd:hunter2@127.0.0.1:1/x?connect_timeout=2", ""},
		"not a name":     {"postgres://walletd:hunter2@[::1/x", "not a connection string"},
		"answers early":  {good + "&synchronous_commit=off", "synchronous_commit off"},
		"no such schema": {strings.ReplaceAll(good, "search_path=s", "search_path=none_such_"), ""},
	} {
		l, err := Open(t.Context(), c.dsn)
		if err == nil {
			l.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if text := fmt.Sprint(err); strings.Contains(text, "hunter2") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
