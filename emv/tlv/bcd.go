package tlv

// IsBCD reports whether b is in format n: no nibble above 9.
func IsBCD(b []byte) bool {
	for _, c := range b {
		if c>>4 > 9 || c&0x0F > 9 {
			return false
		}
	}
	return true
}

// BCD writes v in format n in size bytes; digits that do not fit are lost, so
// callers check the range of their own type first.
func BCD(v uint64, size int) []byte {
	out := make([]byte, size)
	for i := size - 1; i >= 0; i-- {
		out[i] = byte(v%10) | byte(v/10%10)<<4
		v /= 100
	}
	return out
}

// Number reads format n. It is not ok for a nibble above 9 or more than 16
// digits, the most that the scheme uses being 12.
func Number(b []byte) (v uint64, ok bool) {
	if len(b) > 8 || !IsBCD(b) {
		return 0, false
	}
	for _, c := range b {
		v = v*100 + uint64(c>>4)*10 + uint64(c&0x0F)
	}
	return v, true
}
