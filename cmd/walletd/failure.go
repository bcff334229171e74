package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Exit statuses: after 2 and 3 only a person can help, after the others
// starting again can.
const (
	exitOK          = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnavailable = 69 // EX_UNAVAILABLE
)

// failure is an error with what to do about it.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

func usage(err error) error { return &failure{exitUsage, err, "walletd --help shows how"} }

// explain prints an error as one line and a hint, and returns the exit status.
func explain(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	f := &failure{exitUnexpected, err, "the ledger on the disk is whole; walletd check --dir DIR tests it"}
	if given := (*failure)(nil); errors.As(err, &given) {
		f = given
	} else if errors.Is(err, fs.ErrPermission) {
		f = &failure{exitConfig, err, "run walletd as the owner of its folder, and keep keys.json at mode 0600"}
	}
	fmt.Fprintf(w, "error: %s\nhint: %s\n", oneLine(f.err.Error()), oneLine(f.hint))
	return f.code
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
