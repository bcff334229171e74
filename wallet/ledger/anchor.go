package ledger

// Head is the furthest point of a terminal's journal that the wallet keeps as an
// anchor outside of it.
type Head struct {
	Sequence uint64
	Hash     [32]byte
}

// Head reads what is kept of a terminal's journal; ErrNone when it is nothing.
func (tx *Tx) Head(merchant, terminal string) (Head, error) {
	var h Head
	var hash string
	err := tx.row([]any{&h.Sequence, &hash}, `SELECT sequence, hash FROM heads WHERE merchant = $1 AND terminal = $2`, merchant, terminal)
	if err != nil {
		return h, err
	}
	return h, unhex(h.Hash[:], hash)
}

// PutHead keeps a head in the place of before, nil for none. It changes nothing
// when somebody else was first.
func (tx *Tx) PutHead(merchant, terminal string, before *Head, h Head) error {
	if before == nil {
		return tx.exec(nil, `INSERT INTO heads (merchant, terminal, sequence, hash) VALUES ($1, $2, $3, $4)
			ON CONFLICT (merchant, terminal) DO NOTHING`, merchant, terminal, int64(h.Sequence), hexed(h.Hash[:]))
	}
	return tx.exec(nil, `UPDATE heads SET sequence = $3, hash = $4 WHERE merchant = $1 AND terminal = $2 AND hash = $5`,
		merchant, terminal, int64(h.Sequence), hexed(h.Hash[:]), hexed(before.Hash[:]))
}

// ForgetHead lets a terminal begin with another journal.
func (tx *Tx) ForgetHead(merchant, terminal string) error {
	return tx.exec(nil, `DELETE FROM heads WHERE merchant = $1 AND terminal = $2`, merchant, terminal)
}

// Abandon notes an attempt whose answer no terminal has obtained: transaction id
// and unpredictable number (scheme 8.6). Noting it again changes nothing.
func (tx *Tx) Abandon(attempt [20]byte) error {
	return tx.exec(nil, `INSERT INTO abandoned (payment, number) VALUES ($1, $2) ON CONFLICT (payment, number) DO NOTHING`,
		hexed(attempt[:16]), hexed(attempt[16:]))
}

// Abandoned lists the unpredictable numbers of a payment's abandoned attempts.
// What they have spent of an allowance may go back without waiting.
func (tx *Tx) Abandoned(payment [16]byte) (numbers [][4]byte, err error) {
	err = tx.rows(func(r row) error {
		var number [4]byte
		var text string
		if err := r.Scan(&text); err != nil {
			return err
		}
		err := unhex(number[:], text)
		numbers = append(numbers, number)
		return err
	}, `SELECT number FROM abandoned WHERE payment = $1 ORDER BY number`, hexed(payment[:]))
	return numbers, err
}

// Reconsider takes a refusal back, so that the payment can be judged anew, and
// the allowance that was returned with it. ErrNone when the payment is not
// refused, or was only reported.
func (tx *Tx) Reconsider(id [16]byte) error {
	err := tx.exec(ErrNone, `DELETE FROM payments WHERE id = $1 AND state = 'refused' AND reason <> 0`, hexed(id[:]))
	if err != nil {
		return err
	}
	_, err = tx.changed(`UPDATE taps SET returned = 0 WHERE payment = $1`, hexed(id[:]))
	return err
}
