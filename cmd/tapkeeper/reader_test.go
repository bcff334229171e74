package main

import (
	"os"
	"strings"
	"testing"

	"tapkeeper/lane"
	"tapkeeper/reader/readertest"
	"tapkeeper/till"
)

// With a real pcscd: a reader that is not plugged in is said, and a payment is
// refused before it exists; with the right name the phone pays.
func TestRealReader(t *testing.T) {
	if !hasPCSC {
		if os.Getenv("CI") == "true" {
			t.Fatal("built without PC/SC")
		}
		t.Skip("built without PC/SC")
	}
	pcscd := readertest.VPCD(t)
	s := furnishShop(t)
	settings := s.Config()
	settings.Reader = lane.ReaderConfig{Kind: "pcsc", Name: "ACME Reader 00 00"}
	s.start(settings)
	s.until("pcscd has answered", func(st till.Status) bool { return st.Reader.Trouble == "reader not plugged in" })
	status, out, problems := s.tool("status")
	if status != exitUnavailable || !strings.Contains(out, "reader not plugged in (ACME Reader 00 00)") || !strings.Contains(problems, "hint: plug the reader in") {
		t.Errorf("status: %d\n%s%s", status, out, problems)
	}
	status, out, problems = s.tool("pay", "5", "--order", "1001")
	if status != exitUnavailable || out != "" || !strings.HasPrefix(problems, "error: no reader: ACME Reader 00 00: reader not plugged in\nhint: ") {
		t.Errorf("pay: %d\n%s%s", status, out, problems)
	}
	if _, err := s.client.Order(t.Context(), "1001"); code(err) != "payment_not_found" {
		t.Errorf("the refused payment exists: %v", err)
	}
	s.stop()

	settings.Reader.Name = pcscd.Reader
	s.Field = &readertest.DialField{Network: "tcp", Address: pcscd.Address}
	s.start(settings)
	if status, out, problems = s.pay(rich, "5", "--order", "1001"); status != exitOK || s.spent() != 5_00 {
		t.Errorf("pay: %d\n%s%s", status, out, problems)
	}
}
