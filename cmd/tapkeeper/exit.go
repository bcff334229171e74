package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"

	"tapkeeper/firmware-config/bundle"
	"tapkeeper/lane"
	"tapkeeper/queue"
	"tapkeeper/queue/archive"
	"tapkeeper/queue/vault"
	"tapkeeper/reader"
	"tapkeeper/reader/pcsc"
	"tapkeeper/till"
)

// Exit statuses. systemd restarts the daemon after 1, 69 and 75, and leaves it
// after 2 and 3: only a person can mend those.
const (
	exitOK          = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnavailable = 69 // EX_UNAVAILABLE: a part is missing right now
	exitTryAgain    = 75 // EX_TEMPFAIL
)

// failure is an error with what to do about it.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// explain prints an error as one line and a hint, and returns its exit status.
func explain(w io.Writer, err error) int {
	f := classify(err)
	if !errors.Is(err, errNotApproved) { // the verb has shown the payment
		fmt.Fprintf(w, "error: %s\n", oneLine(f.err.Error()))
		if f.hint != "" {
			fmt.Fprintf(w, "hint: %s\n", oneLine(f.hint))
		}
	}
	return f.code
}

// classify finds out what a person can do about an error.
func classify(err error) *failure {
	var f *failure
	var problem *till.Problem
	var field *lane.FieldError
	var key *lane.KeyError
	var master *vault.Error
	var move *lane.MoveError
	var counted *lane.CounterError
	var archived *archive.Refused
	var part *lane.PartError
	var refused *bundle.Refused
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &problem):
		return classifyProblem(problem)
	case errors.As(err, &field):
		return &failure{exitConfig, err, "correct this setting in the configuration file"}
	case errors.As(err, &master):
		return &failure{exitConfig, err, master.Fix}
	case errors.As(err, &move):
		return &failure{exitConfig, err, move.Fix}
	case errors.As(err, &counted):
		return &failure{exitConfig, err, counted.Fix}
	case errors.As(err, &archived):
		return &failure{exitConfig, err, "nothing was changed; export it again, to the recipient that tapkeeper queue import-key prints here"}
	case errors.As(err, &key):
		return &failure{exitConfig, err, "see docs/operations.md, Keys, for how each key file is made"}
	case errors.As(err, &refused):
		return &failure{exitConfig, err, "correct the file named, in the firmware_config folder"}
	case errors.Is(err, pcsc.ErrNotBuilt):
		return &failure{exitConfig, err, "build with cgo and libpcsclite-dev, or use a serial reader: reader.kind pn532 or zvt (docs/readers.md)"}
	case errors.As(err, &part):
		return classifyPart(part)
	case errors.Is(err, till.ErrNoDaemon) && errors.Is(err, fs.ErrPermission):
		return &failure{exitUnavailable, err, "the socket is open to the daemon's user and group: usermod -aG tapkeeper USER"}
	case errors.Is(err, till.ErrNoDaemon):
		return &failure{exitUnavailable, err, "start it with: tapkeeper serve --config FILE, or name its socket with --socket"}
	case errors.Is(err, context.Canceled):
		return &failure{exitTryAgain, errors.New("interrupted; a payment that was open stays open"), "ask for it with: tapkeeper show --order REF"}
	}
	return &failure{exitUnexpected, err, "run again with TAPKEEPER_LOG=debug, or see the daemon's log"}
}

func classifyProblem(p *till.Problem) *failure {
	code := exitUnexpected
	switch {
	case p.Status == http.StatusServiceUnavailable:
		code = exitUnavailable
	case p.Retry == "same_key", p.Retry == "cancel_or_wait":
		code = exitTryAgain
	case p.Status < http.StatusInternalServerError:
		code = exitUsage
	}
	hint := p.Hint
	if hint == "" {
		hint = "see the daemon's log"
	}
	return &failure{code, p, hint}
}

func classifyPart(p *lane.PartError) *failure {
	var damage *queue.DamageError
	var gone *queue.HandedOverError
	switch {
	case errors.As(p, &gone):
		return &failure{exitConfig, p, "it goes on at the machine that has imported it; if the archive was lost, export it again to the same recipient"}
	case errors.As(p, &damage):
		return &failure{exitUnexpected, p, "nothing was changed; copy data_dir before anything else, then see docs/operations.md, When something is wrong"}
	case errors.Is(p, queue.ErrLocked):
		return &failure{exitTryAgain, p, "another daemon runs on this data folder; stop it first: systemctl stop tapkeeper"}
	case errors.Is(p, till.ErrInUse):
		return &failure{exitTryAgain, p, "another daemon answers on till.socket; stop it first: systemctl stop tapkeeper"}
	case errors.Is(p, reader.ErrBusy):
		return &failure{exitTryAgain, p, "another process uses this reader; stop it first"}
	case errors.Is(p, fs.ErrPermission), errors.Is(p, syscall.ENOTDIR):
		return &failure{exitConfig, p, "the path must be in a folder that the daemon's user owns; see docs/operations.md, Settings"}
	case errors.Is(p, queue.ErrKey):
		return &failure{exitConfig, p, "nothing was changed; keys.journal_master must name the key that this journal was made with"}
	case errors.Is(p, queue.ErrFull):
		return &failure{exitUnavailable, p, "free disk space where data_dir is; nothing was lost"}
	case errors.Is(p, queue.ErrDisk):
		return &failure{exitUnavailable, p, "data_dir must be on a disk that takes writes; the kernel's log says why it does not (dmesg); nothing was lost"}
	}
	return &failure{exitUnavailable, p, "see to the part named; what was told as stored or paid is on the disk"}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
