package queue

// Waiting returns up to limit entries that may leave now: the highest priority
// first, then the oldest; of each group only the first, so that none overtakes
// another, and none of a group whose first is held.
func (s *Store) Waiting(limit int) ([]Stored, error) {
	return s.load(func() []*item { return s.outbox.first(limit) })
}

// Parked returns the entries that were set aside, parked or held, oldest first.
func (s *Store) Parked() ([]Stored, error) { return s.load(s.outbox.setAside) }

// Depth returns how many entries have no receipt yet, and how many are set aside.
func (s *Store) Depth() (waiting, aside int) {
	d := s.outbox.count()
	return d.Queued + d.Sent, d.Parked + d.Held
}

// Outbox counts the entries of the outbox by their state.
func (s *Store) Outbox() Depth { return s.outbox.count() }

// Owes says whether the outbox has an entry of a group, waiting or set aside.
func (s *Store) Owes(group string) bool { return s.outbox.owes(group) }

// Sent notes that entries were handed to the link. It is not kept: after a
// restart nobody knows what arrived, and everything is sent again.
func (s *Store) Sent(ids ...string) { s.outbox.mark(ids) }

// WasSent says whether an entry that still waits was handed to the link.
func (s *Store) WasSent(id string) bool {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	return s.outbox.sent[id]
}

// Changed signals after a commit that changed the outbox. It is one channel
// that holds one signal, for one consumer; nothing is missed between a call of
// Waiting and a receive.
func (s *Store) Changed() <-chan struct{} { return s.outbox.changed }

func (s *Store) load(list func() []*item) (out []Stored, err error) {
	var items []*item
	v, err := s.enter(func() { items = list() })
	if err != nil {
		return nil, err
	}
	defer s.leave(v)
	for _, it := range items {
		e, ok, err := s.loadEntry(v, it)
		if err == nil && !ok {
			err = &DamageError{What: "entry", Key: it.id, Seq: it.seq, Why: "it is missing"}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *Store) loadEntry(v view, it *item) (e Stored, ok bool, err error) {
	plain, _, ok, err := s.readCell(v, classEntry, "", it.key())
	if err != nil || !ok {
		return Stored{}, false, err
	}
	if e, err = decodeEntry(plain); err != nil || e.ID != it.id || e.Group != it.group {
		return Stored{}, false, &DamageError{What: "entry", Key: it.id, Seq: it.seq, Why: errLayout.Error()}
	}
	e.Seq, e.State = it.seq, s.outbox.state(it)
	if it.aside == waiting {
		return e, true, nil
	}
	reason, _, ok, err := s.readCell(v, classPark, "", it.key())
	if err != nil || !ok {
		return Stored{}, false, err
	}
	e.Reason = string(reason[min(1, len(reason)):])
	return e, true, nil
}

func encodeEntry(e *Entry, body []byte) []byte {
	b := make([]byte, 0, len(e.ID)+len(e.Group)+len(e.Kind)+len(body)+13)
	b = append(b, byte(e.Priority))
	b = appendString(appendString(appendString(b, e.ID), e.Group), e.Kind)
	return appendString(b, body)
}

// decodeEntry's Body is part of plain.
func decodeEntry(plain []byte) (Stored, error) {
	p := parser{rest: plain}
	e := Stored{Priority: Priority(p.byte()), ID: p.string(), Group: p.string(), Kind: p.string()}
	e.Body = p.bytes(p.uvarint())
	if e.Priority >= priorities {
		return e, errLayout
	}
	return e, p.end()
}
