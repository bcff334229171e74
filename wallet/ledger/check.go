package ledger

import (
	"context"
	"fmt"
)

// findingsMax bounds what Check reports: after a hundred lines nobody reads on.
const findingsMax = 100

// checks are queries that find nothing in a sound ledger. Each row is one text
// naming what is wrong.
var checks = [...]struct{ what, query string }{
	{"movements of a currency do not add up to zero",
		`SELECT currency FROM movements GROUP BY currency HAVING SUM(amount_minor) <> 0`},
	{"a posting does not add up to zero",
		`SELECT posting FROM movements GROUP BY posting HAVING SUM(amount_minor) <> 0 OR COUNT(*) <> 2 OR COUNT(DISTINCT currency) <> 1`},
	{"a movement is in another currency than its account",
		`SELECT m.posting FROM movements m JOIN accounts a ON a.id = m.account WHERE a.currency <> m.currency`},
	{"a balance is not the sum of its movements",
		`SELECT a.id FROM accounts a WHERE a.balance_minor <> (SELECT COALESCE(SUM(m.amount_minor), 0) FROM movements m WHERE m.account = a.id)`},
	{"money was taken more than once for a payment",
		`SELECT payment FROM movements WHERE kind = 'take' AND line = 1 GROUP BY payment HAVING COUNT(*) > 1`},
	{"money was taken that does not match a payment's amount",
		`SELECT m.payment FROM movements m LEFT JOIN payments p ON p.id = m.payment WHERE m.kind = 'take' AND m.line = 1
		AND (p.id IS NULL OR p.amount_minor <> m.amount_minor OR p.state NOT IN ('taken', 'reversed'))`},
	{"a taken or reversed payment has no taking",
		`SELECT p.id FROM payments p WHERE p.state IN ('taken', 'reversed')
		AND NOT EXISTS (SELECT 1 FROM movements m WHERE m.payment = p.id AND m.kind = 'take')`},
	{"a payment's net movement is not what its state says",
		`SELECT p.id FROM payments p WHERE (SELECT COALESCE(SUM(m.amount_minor), 0) FROM movements m WHERE m.payment = p.id AND m.account = p.account)
		<> CASE WHEN p.state = 'taken' THEN p.refunded_minor - p.amount_minor ELSE 0 END`},
	{"a payment's refunds do not add up",
		`SELECT p.id FROM payments p WHERE p.refunded_minor <> (SELECT COALESCE(SUM(r.amount_minor), 0) FROM refunds r WHERE r.payment = p.id)`},
}

// Check tests the whole ledger and returns what is wrong with it, one line a
// finding; nothing means sound. The error is about reading, not about money.
func (l *Ledger) Check(ctx context.Context) ([]string, error) {
	var findings []string
	err := l.View(ctx, func(tx *Tx) error {
		for _, c := range checks {
			err := tx.rows(func(r row) error {
				var which string
				if err := r.Scan(&which); err != nil {
					return err
				}
				if len(findings) < findingsMax {
					findings = append(findings, c.what+": "+which)
				}
				return nil
			}, c.query)
			if err != nil {
				return fmt.Errorf("check whether %s: %w", c.what, err)
			}
		}
		return nil
	})
	return findings, err
}
