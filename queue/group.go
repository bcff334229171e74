package queue

import "slices"

// Group returns the entries of a group, waiting or set aside, oldest first.
func (s *Store) Group(group string) ([]Stored, error) {
	return s.load(func() []*item { return s.outbox.of(group) })
}

func (o *outbox) of(group string) []*item {
	o.mu.Lock()
	defer o.mu.Unlock()
	if group == "" {
		return nil
	}
	out := slices.Clone(o.groups[group])
	for _, it := range o.aside {
		if it.aside == parked && it.group == group {
			out = append(out, it)
		}
	}
	slices.SortFunc(out, func(a, b *item) int { return a.place.compare(b.place) })
	return out
}
