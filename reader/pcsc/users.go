package pcsc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tapkeeper/reader"
)

// Slot is what the watch has seen of one reader last.
type Slot struct {
	Name string
	// What is in it: "empty", "card", "mute" for a card that does not answer or is not contactless, "away" for a reader
	// that does not answer.
	What  string
	Taken bool // a program has it for itself
}

// Slots returns what was seen last, how pcscd is (Starting, Ready, NoService, Forbidden), and what is closed when there is
// something new.
func (s *Service) Slots() (slots []Slot, service reader.State, changed <-chan struct{}) {
	v, changed := s.look()
	switch {
	case v.up:
		service = reader.Ready
	case v.forbidden:
		service = reader.Forbidden
	case v.known:
		service = reader.NoService
	}
	for _, sl := range v.slots {
		slots = append(slots, Slot{sl.name, phaseText[sl.phase], sl.taken})
	}
	return slots, service, changed
}

var phaseText = [...]string{away: "away", empty: "empty", present: "card", mute: "mute"}

// Users names the programs that have libpcsclite loaded now, other than this one, as "scdaemon (pid 17)". Of other
// users' programs only root is told. pcscd itself does not tell who holds a reader.
func Users() []string {
	maps, _ := filepath.Glob("/proc/[0-9]*/maps")
	var users []string
	for _, path := range maps {
		dir := filepath.Dir(path)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		loaded, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(loaded, []byte("/libpcsclite.so")) && !bytes.Contains(loaded, []byte("/libpcsclite_real.so")) {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		users = append(users, fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid))
	}
	return users
}
