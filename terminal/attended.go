package terminal

// Attended is the payment that has the field now, if there is one: what a reader's lights show is about it.
func (t *Terminal) Attended() (ID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active == nil {
		return ID{}, false
	}
	return t.active.id, true
}
