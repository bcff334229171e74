package queue

import "fmt"

// find returns the entry as this commit sees it.
func (st *stage) find(id string) *item {
	if it, ok := st.now[id]; ok {
		return it
	}
	if it, ok := st.batch.now[id]; ok {
		return it
	}
	if st.before != nil {
		if it, ok := st.before.now[id]; ok {
			return it
		}
	}
	return st.store.outbox.find(id)
}

// removals are what the outbox loses, sets aside and takes back.
func (st *stage) removals(c *Commit) error {
	for _, id := range c.Done {
		it := st.find(id)
		if it == nil {
			return &ConflictError{What: "entry", Key: id, Why: "is not in the outbox"}
		}
		st.remove(classEntry, id, it.key())
		if it.aside != waiting {
			st.remove(classPark, id, it.key())
		}
		st.note(id, nil)
		st.depth--
	}
	if err := st.setAside(c.Park, parked); err != nil {
		return err
	}
	if err := st.setAside(c.Hold, held); err != nil {
		return err
	}
	for _, id := range c.Release {
		it := st.find(id)
		if it == nil || it.aside == waiting {
			return &ConflictError{What: "entry", Key: id, Why: "is neither parked nor held"}
		}
		st.remove(classPark, id, it.key())
		st.note(id, it.with(waiting))
	}
	return nil
}

func (st *stage) setAside(list []Park, as aside) error {
	for _, p := range list {
		it := st.find(p.ID)
		if it == nil || it.aside != waiting {
			return &ConflictError{What: "entry", Key: p.ID, Why: "is not waiting"}
		}
		st.set(classPark, p.ID, it.key(), append([]byte{byte(as)}, p.Reason...))
		st.note(p.ID, it.with(as))
	}
	return nil
}

func (it *item) with(a aside) *item {
	other := *it
	other.aside = a
	return &other
}

func (st *stage) entries(c *Commit) error {
	for i := range c.Entries {
		e := &c.Entries[i]
		if st.find(e.ID) != nil {
			return &ConflictError{What: "entry", Key: e.ID, Why: "is in the outbox already"}
		}
		st.note(e.ID, &item{place: place{st.seq, uint16(i)}, id: e.ID, group: e.Group, priority: e.Priority})
		st.depth++
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		body, err := e.Seal(st.seq)
		if err != nil {
			return fmt.Errorf("seal entry %s: %w", e.ID, err)
		}
		if len(body) == 0 || len(body) > maxValue {
			return fmt.Errorf("entry %s: body of %d bytes: want 1 to %d", e.ID, len(body), maxValue)
		}
		st.set(classEntry, e.ID, st.now[e.ID].key(), encodeEntry(e, body))
	}
	return nil
}
