package ledger

// Ahead says what a posting is going to read, so that a database on another
// machine can be asked once. Device and the rest of a tap are empty without one.
type Ahead struct {
	Merchant, Terminal, Message string
	Sequence                    uint64
	Payment                     [16]byte
	Payer, MerchantAccount      string // both or none

	Device *[8]byte
	ATC    uint16
	Epoch  uint32
	Index  uint16 // 0: no step of an allowance
}

// The queries of a posting.
const (
	seenQuery = `SELECT id, COALESCE(sequence, 0), content_sha256, topic, answer FROM messages
		WHERE merchant = $1 AND terminal = $2 AND (id = $3 OR sequence = $4)`
	deviceQuery  = `SELECT account, kind, kvn, status, sign_key, agree_key, epoch FROM devices WHERE id = $1`
	markQuery    = `SELECT evidence, payment FROM marks WHERE device = $1 AND atc = $2`
	paymentQuery = `SELECT ` + paymentColumns + ` FROM payments WHERE id = $1`
	// Not IN: SQLite would make a table of the list, which takes longer than both reads.
	pairQuery = `SELECT ` + accountColumns + ` FROM accounts WHERE id = $1 UNION ALL SELECT ` + accountColumns + ` FROM accounts WHERE id = $2`
	sumQuery  = `SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) FROM taps WHERE device = $1 AND epoch = $2`
	tapsQuery = `SELECT position, chain, link, evidence, payment, amount_minor, spent_minor, returned FROM taps
		WHERE device = $1 AND epoch = $2 AND position BETWEEN $3 AND $4 ORDER BY position`
	reportsQuery = `SELECT r.position, r.payment, r.amount_minor, r.atc, r.terminal, r.chain, CASE WHEN t.device IS NULL THEN 0 ELSE 1 END,
		CASE WHEN r.released_at = '' THEN 0 ELSE 1 END
		FROM reports r LEFT JOIN taps t ON t.device = r.device AND t.epoch = r.epoch AND t.position = r.position
		WHERE r.device = $1 AND r.epoch = $2 AND r.position BETWEEN $3 AND $4 ORDER BY r.position`
)

// ReadAhead fetches what Seen, Device, Mark, Around, Reports, Payment and Pair
// will ask for, each once, before the caller writes. It changes nothing but the
// time that they take; on a file it does nothing.
func (tx *Tx) ReadAhead(a Ahead) error {
	p, ok := tx.sql.(pipeliner)
	if !ok {
		return nil
	}
	queries := []query{
		{seenQuery, []any{a.Merchant, a.Terminal, a.Message, numbered(a.Sequence)}},
		{paymentQuery, []any{hexed(a.Payment[:])}},
	}
	if a.Payer != "" {
		queries = append(queries, query{pairQuery, []any{a.Payer, a.MerchantAccount}})
	}
	if a.Device != nil {
		device := hexed(a.Device[:])
		queries = append(queries, query{deviceQuery, []any{device}}, query{markQuery, []any{device, a.ATC}})
		if a.Index != 0 {
			first, last := around(a.Index)
			queries = append(queries, query{tapsQuery, []any{device, a.Epoch, first, last}}, query{sumQuery, []any{device, a.Epoch}},
				query{reportsQuery, []any{device, a.Epoch, a.Index - 1, a.Index}})
		}
	}
	return p.ahead(tx.ctx, queries)
}

// around are the indexes before and after one.
func around(index uint16) (first, last uint16) { return max(index, 1) - 1, min(index, 0xFFFE) + 1 }

// numbered is a sequence number as messages have it; none has that of 0.
func numbered(sequence uint64) int64 {
	if sequence == 0 {
		return -1
	}
	return int64(sequence)
}
