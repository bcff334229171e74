package ledger

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tapkeeper/wallet/ledger/ledgertest"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) { os.Exit(ledgertest.Main(m)) }

// each runs a test over both kinds of ledger.
func each(t *testing.T, test func(t *testing.T, l *Ledger)) {
	ledgertest.Each(t, func(t *testing.T, name string) { test(t, open(t, name)) })
}

// open makes a ledger with one payer of 100.00 and one merchant, and checks it when the test ends.
func open(t testing.TB, name string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sound(t, l)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	update(t, l, accounts)
	return l
}

func accounts(tx *Tx) error {
	return errors.Join(
		tx.OpenAccount(Account{ID: "funding", Kind: FundingAccount, Currency: "CNY"}),
		tx.OpenAccount(Account{ID: "alice", Kind: PayerAccount, Currency: "CNY"}),
		tx.OpenAccount(Account{ID: "shop", Kind: MerchantAccount, Currency: "CNY"}),
		tx.OpenAccount(Account{ID: "abroad", Kind: MerchantAccount, Currency: "EUR"}),
		tx.Fund("first", "funding", "alice", 10000, noon))
}

func sound(t testing.TB, l *Ledger) {
	t.Helper()
	findings, err := l.Check(context.Background())
	if err != nil || len(findings) != 0 {
		t.Errorf("check: %v %q", err, findings)
	}
}

func update(t testing.TB, l *Ledger, fn func(*Tx) error) {
	t.Helper()
	if err := l.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func payment(n byte, amount int64) Payment {
	return Payment{ID: [16]byte{n}, Merchant: "m1", Terminal: "t1", AmountMinor: amount, Currency: "CNY",
		BusinessDay: "2026-11-24", Sequence: uint64(n), Account: "alice", WalletRef: string('a' + rune(n))}
}

func balance(t testing.TB, l *Ledger, id string) int64 {
	t.Helper()
	var a Account
	err := l.View(t.Context(), func(tx *Tx) (err error) { a, err = tx.Account(id); return err })
	if err != nil {
		t.Fatal(err)
	}
	return a.BalanceMinor
}

func TestPaymentLife(t *testing.T) {
	take := func(tx *Tx) error { return tx.Take(payment(1, 3000), "shop", noon) }
	refund := func(id string, amount int64) func(*Tx) error {
		return func(tx *Tx) error { return tx.Refund(Refund{ID: id, Payment: [16]byte{1}, AmountMinor: amount}, noon) }
	}
	reverse := func(tx *Tx) error { return tx.Reverse([16]byte{1}, noon) }
	bury := func(tx *Tx) error { return tx.Bury(payment(1, 0), noon) }
	refuse := func(tx *Tx) error { return tx.Refuse(payment(1, 3000), noon) }
	type step struct {
		do   func(*Tx) error
		want error
	}
	for name, c := range map[string]struct {
		steps []step
		alice int64
		state State
	}{
		"taken once":                  {[]step{{take, nil}, {take, ErrExists}}, 7000, Taken},
		"reversed once":               {[]step{{take, nil}, {reverse, nil}, {reverse, ErrNone}, {take, ErrExists}}, 10000, Reversed},
		"tombstone takes nothing":     {[]step{{bury, nil}, {take, ErrExists}, {reverse, ErrNone}}, 10000, Tombstone},
		"refused stays refused":       {[]step{{refuse, nil}, {take, ErrExists}, {reverse, ErrNone}, {refund("r", 1), ErrNone}}, 10000, Refused},
		"tombstone over a refusal":    {[]step{{refuse, nil}, {bury, nil}, {take, ErrExists}}, 10000, Tombstone},
		"no tombstone over money":     {[]step{{take, nil}, {bury, ErrExists}}, 7000, Taken},
		"refunds up to the amount":    {[]step{{take, nil}, {refund("a", 1000), nil}, {refund("b", 2000), nil}, {refund("c", 1), ErrNone}}, 10000, Taken},
		"refund above the amount":     {[]step{{take, nil}, {refund("a", 3001), ErrNone}}, 7000, Taken},
		"same refund again":           {[]step{{take, nil}, {refund("a", 1000), nil}, {refund("a", 1000), ErrExists}}, 8000, Taken},
		"reversal returns the rest":   {[]step{{take, nil}, {refund("a", 1000), nil}, {reverse, nil}}, 10000, Reversed},
		"refund after the reversal":   {[]step{{take, nil}, {reverse, nil}, {refund("a", 1), ErrNone}}, 10000, Reversed},
		"nothing known, nothing owed": {[]step{{reverse, ErrNone}, {refund("a", 1), ErrNone}, {take, nil}}, 7000, Taken},
	} {
		each(t, func(t *testing.T, l *Ledger) {
			t.Log(name)
			for n, s := range c.steps {
				if err := l.Update(t.Context(), s.do); !errors.Is(err, s.want) {
					t.Fatalf("step %d: %v, want %v", n, err, s.want)
				}
			}
			if got := balance(t, l, "alice"); got != c.alice {
				t.Errorf("alice has %d, want %d", got, c.alice)
			}
			if got := balance(t, l, "shop"); got != 10000-c.alice {
				t.Errorf("shop has %d, want %d", got, 10000-c.alice)
			}
			list, err := l.Payments(t.Context(), "m1", "t1", "2026-11-24")
			if err != nil || len(list) != 1 || list[0].State != c.state {
				t.Errorf("listed %v %v, want one %s", list, err, c.state)
			}
		})
	}
}

func TestFailedUpdateKeepsNothing(t *testing.T) { each(t, testFailedUpdateKeepsNothing) }

func testFailedUpdateKeepsNothing(t *testing.T, l *Ledger) {
	stop := errors.New("stop")
	err := l.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(tx.Take(payment(1, 3000), "shop", noon), tx.Remember(Message{ID: "1", Sequence: 1}, noon), stop)
	})
	if !errors.Is(err, stop) || balance(t, l, "alice") != 10000 {
		t.Errorf("%v, alice has %d", err, balance(t, l, "alice"))
	}
	err = l.View(t.Context(), func(tx *Tx) error { _, err := tx.Seen("", "", "1", 1); return err })
	if !errors.Is(err, ErrNone) {
		t.Errorf("message kept: %v", err)
	}
	if err := l.View(t.Context(), accounts); err == nil {
		t.Error("a View wrote")
	}
}

func TestPostingRefusals(t *testing.T) { each(t, testPostingRefusals) }

func testPostingRefusals(t *testing.T, l *Ledger) {
	for name, fn := range map[string]func(*Tx) error{
		"other currency":   func(tx *Tx) error { return tx.Take(payment(1, 1), "abroad", noon) },
		"no such account":  func(tx *Tx) error { return tx.Take(payment(1, 1), "nobody", noon) },
		"negative amount":  func(tx *Tx) error { return tx.Take(payment(1, -1), "shop", noon) },
		"negative top-up":  func(tx *Tx) error { return tx.Fund("x", "funding", "alice", -1, noon) },
		"to itself":        func(tx *Tx) error { return tx.Fund("x", "alice", "alice", 1, noon) },
		"same top-up":      func(tx *Tx) error { return tx.Fund("first", "funding", "alice", 1, noon) },
		"negative refund":  func(tx *Tx) error { return tx.Refund(Refund{ID: "r", Payment: [16]byte{9}, AmountMinor: -5}, noon) },
		"account id taken": func(tx *Tx) error { return tx.OpenAccount(Account{ID: "alice", Kind: PayerAccount}) },
		"unknown account":  func(tx *Tx) error { return tx.SetBlocked("nobody", true) },
	} {
		if name == "negative refund" {
			update(t, l, func(tx *Tx) error { return tx.Take(payment(9, 10), "shop", noon) })
		}
		if err := l.Update(t.Context(), fn); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// At most once, also when everybody takes the same payment at the same time.
func TestConcurrentTaking(t *testing.T) { each(t, testConcurrentTaking) }

func testConcurrentTaking(t *testing.T, l *Ledger) {
	const workers, ids = 8, 10
	var wg sync.WaitGroup
	taken := make([]int, workers)
	for w := range workers {
		wg.Go(func() {
			for n := range byte(ids) {
				err := l.Update(t.Context(), func(tx *Tx) error { return tx.Take(payment(n, 10), "shop", noon) })
				if err == nil {
					taken[w]++
				} else if !errors.Is(err, ErrExists) {
					t.Errorf("take: %v", err)
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if sum != ids || balance(t, l, "shop") != 10*ids {
		t.Errorf("%d takings of %d payments, shop has %d", sum, ids, balance(t, l, "shop"))
	}
}

// Check must see damage; each row breaks the books in one way.
func TestCheckFinds(t *testing.T) {
	for want, damage := range map[string]string{
		"do not add up to zero":   `UPDATE movements SET amount_minor = 1 WHERE posting LIKE 'take:%' AND line = 1`,
		"posting does not add up": `DELETE FROM movements WHERE posting LIKE 'take:%' AND line = 0`,
		"another currency":        `UPDATE accounts SET currency = 'EUR' WHERE id = 'shop'`,
		"balance is not the sum":  `UPDATE accounts SET balance_minor = 1 WHERE id = 'alice'`,
		"more than once":          `INSERT INTO movements SELECT 'take:again', line, payment, kind, account, currency, amount_minor, posted_at FROM movements WHERE kind = 'take'`,
		"does not match":          `UPDATE payments SET state = 'refused'`,
		"has no taking":           `DELETE FROM movements WHERE kind = 'take'`,
		"net movement":            `UPDATE payments SET state = 'reversed'`,
		"refunds do not add up":   `UPDATE payments SET refunded_minor = 1`,
	} {
		ledgertest.Each(t, func(t *testing.T, path string) {
			t.Log(want)
			l, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			update(t, l, accounts)
			update(t, l, func(tx *Tx) error { return tx.Take(payment(1, 3000), "shop", noon) })
			sound(t, l)
			update(t, l, func(tx *Tx) error { _, err := tx.changed(damage); return err })
			findings, err := l.Check(t.Context())
			if err != nil || !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, want) }) {
				t.Errorf("%v %q", err, findings)
			}
		})
	}
}

func TestOpenRefusesNewerSchema(t *testing.T) {
	ledgertest.Each(t, testNewerSchema)
}

func testNewerSchema(t *testing.T, path string) {
	driver, source := "pgx", path
	if !strings.HasPrefix(path, "postgres") {
		path = filepath.Join(t.TempDir(), "a ledger?.db") // a name that a careless DSN would cut
		driver, source = "sqlite", dsn(path)
	}
	for range 2 {
		l, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE schema_version SET version = $1`, schemaVersion+1); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if l, err := Open(t.Context(), path); err == nil {
		l.Close()
		t.Error("a newer schema was opened")
	}
}
