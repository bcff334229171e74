package phone

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Hex is a byte string that JSON shows as upper-case hexadecimal, as the
// scheme's vectors do.
type Hex []byte

// MarshalText writes upper-case hexadecimal.
func (h Hex) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%X", []byte(h)), nil }

// UnmarshalText reads hexadecimal of either case.
func (h *Hex) UnmarshalText(text []byte) error {
	b := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(b, text); err != nil {
		return errors.New("phone: not a hexadecimal byte string") // the text may be a key
	}
	*h = b
	return nil
}
