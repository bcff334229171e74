package emv

// memo keeps the result of a pure computation, so that it may be done early,
// while the phone answers, or late, when it is needed: with the same result.
type memo[T any] struct {
	done  bool
	value T
}

func (m *memo[T]) get(compute func() T) T {
	if !m.done {
		m.value, m.done = compute(), true
	}
	return m.value
}
