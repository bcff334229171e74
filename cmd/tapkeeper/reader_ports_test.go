package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/pn532sim"
	"tapkeeper/reader/serialport"
)

func TestReaderPorts(t *testing.T) {
	l, err := line.OpenPTY(t.TempDir() + "/usb-NFC")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go pn532sim.New().Serve(l)
	var out, problems bytes.Buffer
	if status := run(t.Context(), []string{"reader", "ports", l.Path()}, &out, &problems); status != exitOK || !strings.Contains(out.String(), "pn532") || !strings.Contains(out.String(), "PN532, firmware 1.6") {
		t.Errorf("exit %d\n%s%s", status, out.String(), problems.String())
	}
	out.Reset()
	run(t.Context(), []string{"reader", "ports", "--json", "/nonexistent"}, &out, &problems)
	var ports []knownPort
	if err := json.Unmarshal(out.Bytes(), &ports); err != nil || len(ports) != 1 || ports[0].Kind != "" || !strings.Contains(ports[0].Remark, "file does not exist") && !strings.Contains(ports[0].Remark, "no such file") {
		t.Errorf("%s, %v", out.String(), err)
	}
	held := portOf(serialport.Found{Path: "/dev/ttyUSB0", By: []serialport.Holder{{PID: 7, Name: "ModemManager"}}}, false)
	if !strings.Contains(held.Remark, "ModemManager") {
		t.Errorf("%+v", held)
	}
}
