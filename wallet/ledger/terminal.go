package ledger

// Terminal is an enrolment: who may send, with which key, for whose account,
// and under which id the phone has signed (scheme 1.4: 8 characters).
type Terminal struct {
	Merchant       string `json:"merchant"`
	Terminal       string `json:"terminal"`
	MerchantName   string `json:"merchant_name"`
	SchemeTerminal string `json:"scheme_terminal"`
	KeyID          string `json:"key_id"`
	PublicKey      string `json:"public_key"`
	Account        string `json:"account"`
}

// EnrolTerminal adds an enrolment or replaces the one of the same merchant and
// terminal, as after a change of key. The merchant's account must exist.
func (tx *Tx) EnrolTerminal(t Terminal) error {
	return tx.exec(ErrNone, `INSERT INTO terminals (merchant, terminal, merchant_name, scheme_terminal, key_id, public_key, account)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (merchant, terminal) DO UPDATE SET merchant_name = $3, scheme_terminal = $4, key_id = $5, public_key = $6, account = $7`,
		t.Merchant, t.Terminal, t.MerchantName, t.SchemeTerminal, t.KeyID, t.PublicKey, t.Account)
}

// Terminal reads an enrolment; ErrNone when there is none.
func (tx *Tx) Terminal(merchant, terminal string) (Terminal, error) {
	var t Terminal
	err := tx.row([]any{&t.Merchant, &t.Terminal, &t.MerchantName, &t.SchemeTerminal, &t.KeyID, &t.PublicKey, &t.Account},
		`SELECT merchant, terminal, merchant_name, scheme_terminal, key_id, public_key, account
		FROM terminals WHERE merchant = $1 AND terminal = $2`, merchant, terminal)
	return t, err
}

// Terminals lists merchant and terminal of enrolments, up to so many.
func (tx *Tx) Terminals(limit int) ([]Terminal, error) {
	var all []Terminal
	err := tx.rows(func(r row) error {
		var t Terminal
		err := r.Scan(&t.Merchant, &t.Terminal)
		all = append(all, t)
		return err
	}, `SELECT merchant, terminal FROM terminals ORDER BY merchant, terminal LIMIT $1`, limit)
	return all, err
}
