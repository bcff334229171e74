package lane

import (
	"errors"
	"testing"
)

func TestSerialSettings(t *testing.T) {
	for _, c := range []struct {
		name, environment, field string
		reader                   ReaderConfig
	}{
		{"module", "live", "", ReaderConfig{Kind: "pn532", Device: "/dev/serial/by-id/x", Polling: "6A01"}},
		{"no device", "live", "reader.device", ReaderConfig{Kind: "pn532"}},
		{"relative", "live", "reader.device", ReaderConfig{Kind: "pn532", Device: "ttyUSB0"}},
		{"module elsewhere", "live", "reader.device", ReaderConfig{Kind: "pn532", Device: "tcp:10.0.0.1:4000"}},
		{"module elsewhere, in a test", "test", "", ReaderConfig{Kind: "pn532", Device: "tcp:10.0.0.1:4000"}},
		{"socket", "live", "reader.device", ReaderConfig{Kind: "pn532", Device: "/dev/x", Socket: "/run/x"}},
		{"polling", "live", "reader.polling", ReaderConfig{Kind: "pn532", Device: "/dev/x", Polling: "6"}},
		{"card terminal", "live", "", ReaderConfig{Kind: "zvt", Device: "tcp:10.0.0.1:20007"}},
		{"currency", "live", "reader.currency", ReaderConfig{Kind: "zvt", Device: "/dev/x", Currency: "XXX"}},
	} {
		cfg := Config{Environment: c.environment, Reader: c.reader}
		err := cfg.validateReader()
		var field *FieldError
		if c.field == "" && err != nil || c.field != "" && (!errors.As(err, &field) || field.Field != c.field) {
			t.Errorf("%s: %v, want %q", c.name, err, c.field)
		}
	}
}
