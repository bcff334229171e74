package ledger

import (
	"time"
)

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

// Seen reads the answered message with this id, or else the one with this
// sequence number (0: none); ErrNone when both are free.
func (tx *Tx) Seen(merchant, terminal, id string, sequence uint64) (Message, error) {
	var found Message
	err := tx.rows(func(r row) error {
		m := Message{Merchant: merchant, Terminal: terminal}
		var content string
		if err := r.Scan(&m.ID, &m.Sequence, &content, &m.Topic, &m.Answer); err != nil {
			return err
		}
		if found.ID == id {
			return nil
		}
		found = m
		return unhex(found.Content[:], content)
	}, seenQuery, merchant, terminal, id, numbered(sequence))
	if err == nil && found.ID == "" {
		err = ErrNone
	}
	return found, err
}

// Remember logs an answered message; ErrExists when its id or number is taken.
func (tx *Tx) Remember(m Message, at time.Time) error {
	var sequence any
	if m.Sequence != 0 {
		sequence = int64(m.Sequence)
	}
	return tx.must(1, ErrExists, `INSERT INTO messages (merchant, terminal, id, sequence, content_sha256, topic, answer, handled_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		m.Merchant, m.Terminal, m.ID, sequence, hexed(m.Content[:]), m.Topic, m.Answer, stamp(at))
}
