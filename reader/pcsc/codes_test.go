package pcsc

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapkeeper/reader"
)

func TestOutward(t *testing.T) {
	sentinels := []error{reader.ErrCardGone, reader.ErrReaderGone, reader.ErrBusy, reader.ErrManyCards, reader.ErrClosed}
	for _, tc := range []struct {
		what string
		code code
		want error // nil: none of the sentinels
	}{
		{"card taken away, vpcd", 0x80100016, reader.ErrCardGone},
		{"card taken away, driver noticed", 0x8010000C, reader.ErrCardGone},
		{"card taken away, pcscd noticed", 0x80100069, reader.ErrCardGone},
		{"other program reset the card", 0x80100068, reader.ErrCardGone},
		{"reader away for a moment", 0x8010000F, reader.ErrCardGone},
		{"power up failed", 0x80100066, reader.ErrCardGone},
		{"mute card", 0x80100067, reader.ErrCardGone},
		{"reader unplugged, first call", 0x80100017, reader.ErrReaderGone},
		{"reader unplugged, later calls", 0x80100011, reader.ErrReaderGone},
		{"reader name not known", 0x80100009, reader.ErrReaderGone},
		{"pcscd ended", 0x80100013, reader.ErrReaderGone},
		{"pcscd ended, later calls", 0x8010001D, reader.ErrReaderGone},
		{"held by another program", 0x8010000B, reader.ErrBusy},
		{"not allowed by polkit", 0x8010006A, reader.ErrReaderGone},
		{"access denied", 0x80100027, reader.ErrReaderGone},
		{"not supported", 0x8010001F, nil},
		{"internal error", 0x80100001, nil},
		{"unknown number", 0x80100999, nil},
	} {
		err := outward(fmt.Errorf("some call: %w", tc.code))
		for _, s := range sentinels {
			if got := errors.Is(err, s); got != (s == tc.want) {
				t.Errorf("%s: is %q = %v", tc.what, s, got)
			}
		}
		if tc.want == nil && !strings.HasPrefix(err.Error(), "unexpected: ") {
			t.Errorf("%s: %q does not say that it is unexpected", tc.what, err)
		}
		if !errors.Is(err, tc.code) || !strings.Contains(err.Error(), fmt.Sprintf("0x%08X", uint32(tc.code))) {
			t.Errorf("%s: %q has lost its number", tc.what, err)
		}
	}
	if outward(nil) != nil || why(nil) != none || why(errors.New("plain")) != other {
		t.Error("no error, or no code, is mapped to something")
	}
}

func TestEachCodeWithAReasonHasAName(t *testing.T) {
	for c := range reasons {
		if names[c] == "" {
			t.Errorf("0x%08X has no name", uint32(c))
		}
	}
}
