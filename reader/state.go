package reader

// State is why a reader is, or is not, able to see a phone.
type State int

// What a reader says of itself.
const (
	// Starting: nothing is known yet.
	Starting State = iota
	// Ready: the reader is there and its field is watched.
	Ready
	// InUse: a phone is activated.
	InUse
	// Missing: the service runs, but no reader of the wanted name is plugged in.
	Missing
	// NoService: the service that owns the readers (pcscd) does not answer.
	NoService
	// Held: another program has the reader for itself.
	Held
	// Mute: something is in the field that does not answer as a contactless card does.
	Mute
	// Wedged: the reader has not come back from a command that is long overdue.
	Wedged
	// Forbidden: the service does not let this user in.
	Forbidden
	// Ambiguous: more than one reader has the wanted name, and none was taken.
	Ambiguous
	// Closed: Close was called.
	Closed
)

var stateText = [...]string{
	Starting:  "starting",
	Ready:     "ready",
	InUse:     "phone in the field",
	Missing:   "reader not plugged in",
	NoService: "reader service not reachable",
	Held:      "reader held by another program",
	Mute:      "card does not answer",
	Wedged:    "reader does not answer",
	Forbidden: "reader service does not let this user in",
	Ambiguous: "more than one reader of that name",
	Closed:    "closed",
}

// String is a short text in lower case.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateText) {
		return "unknown"
	}
	return stateText[s]
}

// Usable says that a phone held to the reader now would be seen.
func (s State) Usable() bool { return s == Ready || s == InUse || s == Mute }
