package lane

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"tapkeeper/reader/pn532"
	"tapkeeper/reader/zvt"
)

// serialServer begins the address of a serial line that is elsewhere.
const serialServer = "tcp:"

// maxPolling is the longest polling frame that the reader takes.
const maxPolling = 32

func (c *Config) validateSerial() error {
	r := c.Reader
	switch {
	case r.Socket != "" || r.Name != "":
		return &FieldError{"reader.device", `no socket and no name with kind "` + r.Kind + `"`, r.Socket + r.Name}
	case r.Kind == "pn532" && strings.HasPrefix(r.Device, serialServer) && c.Environment == "live":
		return &FieldError{"reader.device", `a serial port of this machine where environment is "live"`, r.Device}
	case !filepath.IsAbs(r.Device) && !strings.HasPrefix(r.Device, serialServer):
		return &FieldError{"reader.device", "an absolute path, best one below /dev/serial/by-id", r.Device}
	}
	if r.Kind == "zvt" {
		if c.Reader.Currency == "" {
			c.Reader.Currency = "EUR"
		}
		if zvt.Currency(c.Reader.Currency) == 0 {
			return &FieldError{"reader.currency", "a currency that card terminals have", r.Currency}
		}
	}
	if b, err := hex.DecodeString(r.Polling); err != nil || len(b) > maxPolling {
		return &FieldError{"reader.polling", fmt.Sprintf("at most %d bytes in hex", maxPolling), r.Polling}
	}
	return nil
}

// ReaderTrouble is why the reader cannot be used, for people; "" when it can.
func (l *Lane) ReaderTrouble() string {
	_, state := l.Reader()
	if state.Usable() {
		return ""
	}
	if r, ok := l.reader.(interface{ Trouble() error }); ok {
		if err := r.Trouble(); err != nil {
			return state.String() + ": " + err.Error()
		}
	}
	return state.String()
}

// openPN532 opens a reader on a serial line. The module may come later; the reader's state tells.
func (l *Lane) openPN532() error {
	polling, err := hex.DecodeString(l.cfg.Reader.Polling)
	if err != nil {
		return &FieldError{"reader.polling", "hex", l.cfg.Reader.Polling}
	}
	r, err := pn532.Open(l.cfg.Reader.Device, pn532.Options{Fast: l.cfg.Reader.Fast, Polling: polling})
	if err != nil {
		return &PartError{"reader", err}
	}
	l.reader = r
	l.closing = append(l.closing, r.Close)
	return nil
}
