package serialport

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// HeldError says which programs have a port.
type HeldError struct {
	Path string
	By   []Holder // empty when they cannot be seen, as those of another user
}

// Holder is a program that has a port open, or has written a lock file for it.
type Holder struct {
	PID  int
	Name string
}

func (h Holder) String() string { return fmt.Sprintf("%s (process %d)", h.Name, h.PID) }

// modemManager probes each new serial port for a modem, and lets it go after some seconds.
const modemManager = "ModemManager"

func (e *HeldError) Error() string {
	if len(e.By) == 0 {
		return "another program has the port"
	}
	names := make([]string, len(e.By))
	probed := false
	for i, h := range e.By {
		names[i] = h.String()
		probed = probed || h.Name == modemManager
	}
	text := "the port is held by " + strings.Join(names, " and ")
	if probed {
		text += ", which looks for modems there; a udev rule with ID_MM_DEVICE_IGNORE keeps it away"
	}
	return text
}

// maxHolders bounds the list: more names help nobody.
const maxHolders = 4

// holders finds who has the device open, this process apart, and who has left a lock file in the manner of UUCP.
func holders(path string) []Holder {
	device, err := filepath.EvalSymlinks(path)
	if err != nil {
		device = path
	}
	var found []Holder
	add := func(pid int) {
		if pid == os.Getpid() || len(found) == maxHolders {
			return
		}
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
			found = append(found, Holder{pid, strings.TrimSpace(string(name))})
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		if hasOpen(p, device) {
			pid, _ := strconv.Atoi(filepath.Base(p))
			add(pid)
		}
	}
	if len(found) == 0 {
		if lock, err := os.ReadFile("/var/lock/LCK.." + filepath.Base(device)); err == nil {
			if pid, err := strconv.Atoi(string(bytes.TrimSpace(lock))); err == nil {
				add(pid) // a lock of a process that has died holds nothing
			}
		}
	}
	return found
}

func hasOpen(process, device string) bool {
	open, err := os.ReadDir(process + "/fd")
	if err != nil {
		return false // of another user, or gone meanwhile
	}
	for _, fd := range open {
		if target, err := os.Readlink(process + "/fd/" + fd.Name()); err == nil && target == device {
			return true
		}
	}
	return false
}
