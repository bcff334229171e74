package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit statuses.
const (
	exitOK          = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitUnavailable = 69 // EX_UNAVAILABLE: there is no reader, or it did not want a phone; again later may help
)

// failure is an error with what to do about it.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

func usage(err error) error { return &failure{exitUsage, err, "phonesim --help shows how"} }

func unavailable(err error, hint string) error { return &failure{exitUnavailable, err, hint} }

// explain prints an error as one line and a hint, and returns the exit status.
func explain(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	f := &failure{exitUnexpected, err, "the wallet file is whole; holding the phone to the reader again does no harm"}
	if given := (*failure)(nil); errors.As(err, &given) {
		f = given
	}
	fmt.Fprintf(w, "error: %s\nhint: %s\n", oneLine(f.err.Error()), oneLine(f.hint))
	return f.code
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
