package bundle

import "fmt"

// Fault is one thing wrong in one file, in words for the person who has to correct it.
type Fault struct {
	File  string // path inside the folder
	Field string // path of the field, "aids[0].tac"; empty when the file as a whole is meant
	Want  string
	Got   string
}

func (f Fault) String() string {
	at := f.File
	if f.Field != "" {
		at += ": " + f.Field
	}
	return fmt.Sprintf("%s: want %s, got %s", at, f.Want, f.Got)
}

// Refused is the error of Load and LoadHotlist when the data is bad: every fault that was found, at least one.
type Refused struct{ Faults []Fault }

// Error gives the first fault, in one line, and says how many more there are.
func (r *Refused) Error() string {
	text := r.Faults[0].String()
	if more := len(r.Faults) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// refusal turns a list of faults into an error, an empty one into none.
func refusal(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	return &Refused{Faults: faults}
}
