package queue

// WaitingBut is [Store.Waiting] without the bodies that the caller has: of an
// entry that known names come only ID, Group, Seq and State. Whoever forwards an
// outbox looks at its front after every commit, and reads each body once.
func (s *Store) WaitingBut(limit int, known func(id string) bool) ([]Stored, error) {
	var out []Stored
	var items []*item
	v, err := s.enter(func() { items = s.outbox.first(limit) })
	if err != nil {
		return nil, err
	}
	defer s.leave(v)
	for _, it := range items {
		e := Stored{ID: it.id, Group: it.group, Seq: it.seq, State: s.outbox.state(it)}
		if !known(it.id) {
			var ok bool
			e, ok, err = s.loadEntry(v, it)
			if err == nil && !ok {
				err = &DamageError{What: "entry", Key: it.id, Seq: it.seq, Why: "it is missing"}
			}
			if err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}
