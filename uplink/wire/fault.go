package wire

import "errors"

// Names of what Open refuses, for counters and logs. They are of a closed list,
// so that a stranger cannot make new ones.
const (
	faultTooLarge  = "too_large"
	faultUnsigned  = "unsigned"      // not a JWS, or not one of this contract
	faultKey       = "unknown_key"   // signed with a key that may not speak here
	faultSignature = "bad_signature" // says to be signed with the right key, and is not
	faultElsewhere = "elsewhere"     // genuine, and of another terminal, merchant or topic
	faultType      = "unknown_type"
	faultData      = "bad_data" // genuine and for us, and not acceptable
	faultMalformed = "malformed"
)

// Fault names why Open or Split refused a message: too_large, unsigned,
// unknown_key, bad_signature, elsewhere, unknown_type, bad_data or malformed.
func Fault(err error) string {
	var n *namedError
	var data *DataError
	switch {
	case errors.As(err, &n):
		return n.name
	case errors.Is(err, ErrTooLarge):
		return faultTooLarge
	case errors.Is(err, ErrSignature):
		return faultSignature
	case errors.Is(err, ErrForeign):
		return faultElsewhere
	case errors.Is(err, ErrUnknownType):
		return faultType
	case errors.As(err, &data):
		return faultData
	}
	return faultMalformed
}

// namedError gives an error a finer name than its sentinel has.
type namedError struct {
	name string
	error
}

func (e *namedError) Unwrap() error { return e.error }

func named(name string, err error) error { return &namedError{name, err} }
