package bundle

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"tapkeeper/reader"
)

// Bounds of what is sent to a reader itself.
const (
	maxEscape   = 64 // bytes; the longest known has 16
	maxSteps    = 8  // of one cue
	maxPauseMS  = 1000
	maxFirmware = 64 // bytes around a version
)

var usbID = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{4}$`)

// reader checks what can be told to, and asked of, a make of reader.
func (c *inspector) reader(f readerFile) {
	c.want(f.Title != "", "reader.title", "what is printed on the reader", "nothing")
	for _, id := range f.USB {
		c.want(usbID.MatchString(id), "reader.usb", "vendor:product in lower-case hexadecimal", quoted(id))
	}
	c.oneOf("reader.escape", f.Escape, string(reader.NoEscape), string(reader.ByControl), string(reader.ByPermission), string(reader.ByPseudoAPDUs))
	for _, command := range f.Setup {
		c.bytes("reader.setup", command, 1, maxEscape)
	}
	if f.Firmware.Ask != "" {
		c.bytes("reader.firmware.ask", f.Firmware.Ask, 1, maxEscape)
		c.within("reader.firmware.skip", f.Firmware.Skip, 0, maxFirmware)
		c.within("reader.firmware.drop", f.Firmware.Drop, 0, maxFirmware)
		c.oneOf("reader.firmware.form", f.Firmware.Form, string(reader.Text), string(reader.Dotted), string(reader.BCD))
	}
	for _, bad := range f.Firmware.Bad {
		c.want(bad.Prefix != "" && bad.Why != "" && bad.Source != "", "reader.firmware.bad", "a version, the trouble and its source", quoted(bad.Prefix))
	}
	sends := len(f.Setup) > 0 || f.Firmware.Ask != "" || len(f.Cues) > 0
	c.want(!sends || f.Escape != "", "reader.escape", "a way for the commands of this profile", "none")
	for name, steps := range f.Cues {
		field := "reader.cues." + name
		_, known := reader.CueOf(name)
		c.want(known, field, "a cue: idle, ready, processing, success, error, alert", quoted(name))
		c.within(field, int64(len(steps)), 1, maxSteps)
		for i, step := range steps {
			ms, isPause := pause(step)
			if !isPause {
				c.bytes(field, step, 1, maxEscape)
				continue
			}
			c.want(i > 0, field, "a command before the first pause", quoted(step))
			c.within(field, ms, 1, maxPauseMS)
		}
	}
}

// pause reads "pause 200", in milliseconds.
func pause(step string) (ms int64, is bool) {
	rest, is := strings.CutPrefix(step, "pause ")
	if !is {
		return 0, false
	}
	if _, err := fmt.Sscanf(rest, "%d", &ms); err != nil || fmt.Sprint(ms) != rest {
		return 0, true
	}
	return ms, true
}

// model is the profile as a driver takes it. The file has been checked; one that is at fault is thrown away.
func (f profileFile) model(offset time.Duration) reader.Model {
	r := f.Reader
	m := reader.Model{
		Name: f.Name, Title: r.Title, Match: f.Match, USB: r.USB, Contactless: r.Contactless, Polls: r.Polls,
		Escape: reader.EscapeWay(r.Escape), RelayOffset: offset,
		Firmware: reader.Firmware{
			Ask: unhex(r.Firmware.Ask), Skip: int(r.Firmware.Skip), Drop: int(r.Firmware.Drop), Form: reader.VersionForm(r.Firmware.Form),
		},
	}
	for _, q := range f.Quirks {
		m.Quirks = append(m.Quirks, fmt.Sprintf("%s: %s (%s)", q.What, q.Reason, q.Link))
	}
	for _, bad := range r.Firmware.Bad {
		m.Firmware.Bad = append(m.Firmware.Bad, reader.BadFirmware(bad))
	}
	for _, command := range r.Setup {
		m.Setup = append(m.Setup, unhex(command))
	}
	for name, steps := range r.Cues {
		cue, _ := reader.CueOf(name)
		if m.Cues == nil {
			m.Cues = map[reader.Cue][]reader.Step{}
		}
		for _, step := range steps {
			list := m.Cues[cue]
			if ms, isPause := pause(step); isPause && len(list) > 0 {
				list[len(list)-1].Pause = time.Duration(ms) * time.Millisecond
				continue
			}
			m.Cues[cue] = append(list, reader.Step{Send: unhex(step)})
		}
	}
	return m
}

func unhex(text string) []byte {
	b, _ := hex.DecodeString(text) // checked before
	if len(b) == 0 {
		return nil
	}
	return b
}
