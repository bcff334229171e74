package main

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tapkeeper/reader/recognise"
	"tapkeeper/reader/serialport"
)

// knownPort is one serial port as ports and list show it.
type knownPort struct {
	ConfigureAs string `json:"configure_as"` // reader.device of the configuration
	Device      string `json:"device"`
	Title       string `json:"title,omitempty"`
	USB         string `json:"usb,omitempty"`
	Driver      string `json:"driver,omitempty"`
	Kind        string `json:"kind,omitempty"` // reader.kind, when it was asked and is known
	Baud        int    `json:"baud,omitempty"`
	Remark      string `json:"remark,omitempty"`
}

func newReaderPorts(s *shared) *cobra.Command {
	var ask bool
	c := &cobra.Command{
		Use: "ports [PATH]", Short: "List the serial ports, or ask what sits on one",
		Long: `List the serial ports by names that last over unplugging. Nothing is opened.

With --ask each bare USB adapter that nobody holds is asked whether a PN532 or a ZVT
card terminal is on it, and with PATH that port alone, whatever it is. The questions
change nothing on a foreign device; a port that speaks by itself is not asked. To open
a port raises its control lines, and some boards start anew by that.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				v := recognise.Path(args[0])
				return showPorts(c.OutOrStdout(), s.json, []knownPort{{ConfigureAs: args[0], Device: args[0], Kind: v.Kind, Baud: v.Baud, Remark: v.Detail}})
			}
			found, err := serialport.List()
			if err != nil {
				return err
			}
			ports := make([]knownPort, 0, len(found))
			for _, f := range found {
				ports = append(ports, portOf(f, ask))
			}
			if len(ports) == 0 && !s.json {
				return &failure{exitUnavailable, errors.New("this machine has no serial port"), "lsusb shows whether it sees the adapter; the group dialout may open it"}
			}
			return showPorts(c.OutOrStdout(), s.json, ports)
		},
	}
	c.Flags().BoolVar(&ask, "ask", false, "ask what sits on each bare USB adapter")
	return c
}

func portOf(f serialport.Found, ask bool) knownPort {
	p := knownPort{ConfigureAs: f.Path, Device: f.Device, Title: f.Title, USB: f.USB, Driver: f.Driver}
	switch {
	case ask:
		v := recognise.Port(f)
		p.Kind, p.Baud, p.Remark = v.Kind, v.Baud, v.Detail
	case len(f.By) > 0:
		p.Remark = (&serialport.HeldError{Path: f.Path, By: f.By}).Error()
	}
	return p
}

func showPorts(w io.Writer, asJSON bool, ports []knownPort) error {
	if asJSON {
		return printJSON(w, ports)
	}
	rows := [][]any{{"SERIAL PORT", "TODAY", "ADAPTER", "KIND", "REMARK"}}
	for _, p := range ports {
		rows = append(rows, []any{p.ConfigureAs, strings.TrimPrefix(p.Device, "/dev/"), orDash(p.Title), orDash(p.Kind), orDash(p.Remark)})
	}
	return table(w, rows...)
}

// usbPorts shows the serial ports that list has beside the PC/SC readers: those on USB.
func usbPorts(w io.Writer) error {
	found, err := serialport.List()
	if err != nil {
		return nil // no sysfs, as on another system: there is nothing to show
	}
	var ports []knownPort
	for _, f := range found {
		if f.USB != "" {
			ports = append(ports, portOf(f, false))
		}
	}
	if len(ports) == 0 {
		return nil
	}
	return showPorts(w, false, ports)
}
