// Package evidence judges an evidence record (BF8B01, scheme 9.1) as a third
// party does: with the scheme's public CA keys and nothing else. It is for
// disputes, years later, on a machine that has neither kernel nor wallet.
//
// It finds out what a phone has signed and whether the terminal's decision
// follows from it: scheme 9.4 steps 1 to 5, and the TVR and the decision of
// scheme 5.4 to 5.6 as far as the record tells them. It is written apart from
// the kernel and from the wallet's verifier, so that it can disagree with both.
//
// It promises nothing about what needs a secret: the MACs of the channel and
// the application cryptogram are reported as not checked, never as good. It
// asks no clock (certificates are judged at the date of the tap), no revocation
// list (a revocation of today does not reach into the past), does no I/O, and
// its error texts hold tags and positions, never values.
package evidence

// Result of one check.
type Result string

// The results. NotChecked is no statement at all.
const (
	Pass       Result = "pass"
	Fail       Result = "fail"
	NotChecked Result = "not checked"
)

// Check is one question with its answer.
type Check struct {
	Name   string `json:"check"`
	Result Result `json:"result"`
	Why    string `json:"why"`
}

// Names of the checks, in the order in which they are reported.
const (
	CheckLayout       = "record layout"
	CheckCertificates = "certificates"
	CheckStatic       = "static data"
	CheckSignature    = "phone's signature"
	CheckData         = "signed data"
	CheckDecision     = "decision"
	CheckSecrets      = "MACs and cryptogram"
)

// CAKey is a public key of the scheme (scheme 1.3).
type CAKey struct {
	RID    [5]byte
	Index  byte
	Public [33]byte // SEC1 compressed
}

// Report is what a record comes to.
type Report struct {
	Signed *Signed // nil when the layout failed
	Checks []Check
}

// OK reports that no check failed.
func (r *Report) OK() bool {
	for _, c := range r.Checks {
		if c.Result == Fail {
			return false
		}
	}
	return true
}

// Result is that of a check, "" when it was not reached.
func (r *Report) Result(name string) Result {
	for _, c := range r.Checks {
		if c.Name == name {
			return c.Result
		}
	}
	return ""
}

func (r *Report) add(name string, ok bool, good, bad string) {
	if ok {
		r.Checks = append(r.Checks, Check{name, Pass, good})
	} else {
		r.Checks = append(r.Checks, Check{name, Fail, bad})
	}
}

func (r *Report) skip(name, why string) {
	r.Checks = append(r.Checks, Check{name, NotChecked, why})
}

// Examine judges a record. With nil for the CA keys nobody says whose key has
// signed: then certificates, static data and signature are not checked.
func Examine(record []byte, keys []CAKey) *Report {
	r := &Report{}
	e, err := parse(record)
	if err != nil {
		r.add(CheckLayout, false, "", err.Error())
		return r
	}
	r.add(CheckLayout, true, "every object of scheme 9.1 is there and can be read", "")
	r.Signed = e.summary()
	c := &chain{}
	if keys == nil {
		for _, name := range []string{CheckCertificates, CheckStatic, CheckSignature} {
			r.skip(name, "no CA key was given: whose key has signed is unknown")
		}
	} else {
		e.authenticate(r, keys, c)
	}
	why := e.inconsistent()
	r.add(CheckData, why == "", "what the phone was asked for twice is the same, and it fits the application and the kind of record", why)
	e.decision(r, c)
	r.skip(CheckSecrets, "they need the tap's session key, which is gone, and the issuer's master key; the phone's signature covers both")
	return r
}
