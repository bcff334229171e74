package reader

// Cue is what a reader shows and sounds of a payment, as far as it has lights and a buzzer (scheme 3.6).
type Cue int

// The cues.
const (
	CueIdle       Cue = iota // no payment
	CueReady                 // a phone is wanted
	CueProcessing            // a phone is being read, or the wallet is being asked
	CueSuccess               // paid: light and tone
	CueError                 // the tap has failed, and may be repeated: light
	CueAlert                 // not paid: light and tone
)

var cueText = [...]string{
	CueIdle: "idle", CueReady: "ready", CueProcessing: "processing", CueSuccess: "success", CueError: "error", CueAlert: "alert",
}

// String is the cue's name in a profile.
func (c Cue) String() string {
	if c < 0 || int(c) >= len(cueText) {
		return "unknown"
	}
	return cueText[c]
}

// CueOf is the cue of a name in a profile.
func CueOf(name string) (Cue, bool) {
	for c, text := range cueText {
		if text == name {
			return Cue(c), true
		}
	}
	return 0, false
}

// A Signaller is a Reader with lights or a buzzer. Signal returns at once and never fails: what cannot be shown is not
// shown. Nothing is sent while a phone is activated, because the phone's time is measured (scheme 5.7); the last cue is
// then shown after Release.
type Signaller interface {
	Signal(Cue)
}
