package ledger

import "time"

// Message is a message that was answered: what came and the exact bytes that
// went back. Content is the SHA-256 of the message as received.
type Message struct {
	Merchant string
	Terminal string
	ID       string
	Sequence uint64 // 0: the message has none, or its number belongs to other content
	Content  [32]byte
	Topic    string // of the answer
	Answer   string
}

const messageColumns = `id, COALESCE(sequence, 0), content_sha256, topic, answer`

// Message reads an answered message by its id; ErrNone when it is new.
func (tx *Tx) Message(merchant, terminal, id string) (Message, error) {
	return tx.message(merchant, terminal, `id = $3`, id)
}

// Numbered reads an answered message by its sequence number; ErrNone when the number is free.
func (tx *Tx) Numbered(merchant, terminal string, sequence uint64) (Message, error) {
	return tx.message(merchant, terminal, `sequence = $3`, int64(sequence))
}

func (tx *Tx) message(merchant, terminal, where string, key any) (Message, error) {
	m := Message{Merchant: merchant, Terminal: terminal}
	var content string
	err := tx.row([]any{&m.ID, &m.Sequence, &content, &m.Topic, &m.Answer},
		`SELECT `+messageColumns+` FROM messages WHERE merchant = $1 AND terminal = $2 AND `+where, merchant, terminal, key)
	if err != nil {
		return m, err
	}
	return m, unhex(m.Content[:], content)
}

// Remember logs an answered message; ErrExists when its id or number is taken.
func (tx *Tx) Remember(m Message, at time.Time) error {
	var sequence any
	if m.Sequence != 0 {
		sequence = int64(m.Sequence)
	}
	return tx.exec(ErrExists, `INSERT INTO messages (merchant, terminal, id, sequence, content_sha256, topic, answer, handled_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		m.Merchant, m.Terminal, m.ID, sequence, hexed(m.Content[:]), m.Topic, m.Answer, stamp(at))
}
