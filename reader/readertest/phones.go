package readertest

// Phones is how many phones are in the field now.
func (r *Reader) Phones() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.visits)
}
