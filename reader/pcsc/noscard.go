//go:build !cgo || nopcsc

package pcsc

func open() (system, error) { return nil, ErrNotBuilt }
